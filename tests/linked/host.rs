//! A program with children of its own, which loads the library that its argument names, and calls it.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

use offspring::Context;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

/// To find all that it needs at once: <dlfcn.h>, the same on Linux and macOS.
const RTLD_NOW: c_int = 2;

fn own_functions_run() -> Result<(), Box<dyn Error>> {
    for context in Context::ALL {
        assert_eq!(context.process().start(6, |n: u64| n * 7)?.join()?, 42);
        let pool = context.pool().workers(1).build()?;
        assert_eq!(pool.submit(6, |_: &mut (), n: u64| n * 8)?.join()?, 48);
        pool.shutdown()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in these programs must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    own_functions_run()?;
    let path = CString::new(std::env::args().nth(1).ok_or("which library?")?)?;
    // SAFETY: the library was built with this program, and nothing in it runs when it is loaded.
    let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
    if library.is_null() {
        // SAFETY: it has just failed, so there is a text.
        let why = unsafe { CStr::from_ptr(dlerror()) };
        return Err(why.to_string_lossy().into());
    }
    // SAFETY: the library is open, and stays so.
    let ask = unsafe { dlsym(library, c"ask".as_ptr()) };
    assert!(!ask.is_null(), "the library can be asked");
    // SAFETY: this is the type that it has in `library.rs`.
    let ask = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(ask) };
    ask();
    own_functions_run()?;
    println!("and its own run");
    Ok(())
}
