//! error: cannot borrow data in a `&` reference as mutable

static WORDS: offspring::Global<Vec<String>> = offspring::Global::new();

fn main() -> offspring::Result<()> {
    WORDS.set((), |()| Vec::new())?;
    WORDS.get()?.push("nobody else would see it".to_owned());
    Ok(())
}
