//! Tests without a name of offspring: the crate whose macro writes them says where it is.

#![forbid(unsafe_code)]

renamed::adds_on_every_context!(written_by_a_macro);

mod below {
    use renamed::reexported as other;

    #[other::test(crate = other, contexts(Inline))]
    fn a_name_in_scope(_: other::Context) {}
}
