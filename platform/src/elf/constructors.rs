//! The functions that run before `main`.
//!
//! # Safety
//!
//! The loader runs the functions of `.init_array` in order, each once, with the arguments of `main`
//! (System V ABI, "Initialization and Termination Functions"). So those behind the one that runs now are due
//! next; whoever runs them must not return, or they would run twice.

use std::ffi::{c_char, c_int};

/// Where the array of the program is.
#[derive(Default)]
struct Found {
    address: usize,
    bytes: usize,
}

type Constructor = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// Runs the constructors of the program that come after `current`, for a process that will not return from
/// it: registries that fill themselves before `main` are then complete, and so is what measures coverage.
///
/// Does nothing if `current` is not in the list of the program.
pub fn run_later_than(current: extern "C" fn()) {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut found = Found::default();
    // SAFETY: `visit` has the type that is asked for, and `found` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    let count = found.bytes / size_of::<usize>();
    let first = std::ptr::with_exposed_provenance::<usize>(found.address);
    let entry = |index: usize| {
        // SAFETY: below the count that the program's own headers state.
        let place = unsafe { first.add(index) };
        // SAFETY: as above; loaded for as long as the program runs.
        unsafe { place.read() }
    };
    let wanted = current as *const () as usize;
    let Some(place) = (0..count).find(|index| entry(*index) == wanted) else { return };
    let names: Vec<std::ffi::CString> = std::env::args_os()
        .filter_map(|text| std::ffi::CString::new(text.into_encoded_bytes()).ok())
        .collect();
    let ends = std::iter::once(std::ptr::null());
    let arguments: Vec<*const c_char> =
        names.iter().map(|name| name.as_ptr()).chain(ends).collect();
    let length = c_int::try_from(names.len()).unwrap_or(c_int::MAX);
    for index in place + 1..count {
        let address = entry(index);
        // The two marks of lists that older linkers made.
        if address == 0 || address == usize::MAX {
            continue;
        }
        let function = std::ptr::with_exposed_provenance::<()>(address);
        // SAFETY: the section holds functions of this type, or of types that ignore arguments.
        let function = unsafe { std::mem::transmute::<*const (), Constructor>(function) };
        // SAFETY: a static of the C library, which nobody writes while there is one thread.
        let environment = unsafe { environ };
        // SAFETY: due next, as said at the head of the file; the arguments outlive the call.
        unsafe { function(length, arguments.as_ptr(), environment) };
    }
    // Some keep what they were given, as the loader's lives for ever.
    std::mem::forget(arguments);
    std::mem::forget(names);
}

unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> c_int {
    // SAFETY: the loader passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: `run_later_than` passes its place, and waits.
    let found = unsafe { &mut *found.cast::<Found>() };
    // SAFETY: the loader says where the headers are and how many.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let base = info.dlpi_addr as usize;
    for header in headers.iter().filter(|header| header.p_type == PT_DYNAMIC) {
        // Pairs of a tag and a value, up to the tag 0.
        let pairs = base.wrapping_add(header.p_vaddr as usize);
        let pairs = std::ptr::with_exposed_provenance::<[usize; 2]>(pairs);
        for index in 0..header.p_memsz as usize / size_of::<[usize; 2]>() {
            // SAFETY: inside of the segment.
            let place = unsafe { pairs.add(index) };
            // SAFETY: as above; it is loaded and readable.
            let [tag, value] = unsafe { place.read() };
            match tag {
                0 => break,
                DT_INIT_ARRAY => found.address = base.wrapping_add(value),
                DT_INIT_ARRAYSZ => found.bytes = value,
                _ => {}
            }
        }
    }
    // The program comes first; anything but zero ends the walk.
    1
}

/// <elf.h>.
const PT_DYNAMIC: u32 = 2;
/// <elf.h>.
const DT_INIT_ARRAY: usize = 25;
/// <elf.h>.
const DT_INIT_ARRAYSZ: usize = 27;
