//! error: cannot borrow data in a `&` reference as mutable

fn main() -> offspring::Result<()> {
    let words = offspring::Shared::new((), |()| Vec::new())?;
    words.get()?.push("nobody else would see it".to_owned());
    Ok(())
}
