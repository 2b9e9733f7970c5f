//! error: cannot assign to data in dereference of `SharedSlice<u8>`

fn main() -> offspring::Result<()> {
    let mut table = offspring::SharedSlice::from_slice(&[1u8, 2, 3])?;
    table[1] = 7;
    Ok(())
}
