//! Where the program itself lies in memory, and which build it is.
//!
//! # Safety
//!
//! `dl_iterate_phdr` hands out pointers to the program headers of each loaded object, the program
//! first; they stay valid while the object is loaded, which for the program is always.

use std::ops::Range;
use std::sync::OnceLock;

/// The loaded segments of the program.
#[derive(Debug)]
pub struct Image {
    segments: Vec<Range<usize>>,
    /// Read-only segments, and the part of the writable one that is made read-only after relocation.
    constant: Vec<Range<usize>>,
    has_relro: bool,
    build: Option<Vec<u8>>,
}

impl Image {
    /// That of this process.
    pub fn of_program() -> &'static Self {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(|| {
            let mut image =
                Self { segments: Vec::new(), constant: Vec::new(), has_relro: false, build: None };
            // SAFETY: `visit` has the type that is asked for, and `image` outlives the call.
            unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut image).cast()) };
            if !image.has_relro {
                // Linked with `-z norelro`, or not relocated at all: pointers in constants then lie among
                // the writable data.
                image.constant = image.segments.clone();
            }
            image
        })
    }

    /// Whether the range lies in one loaded segment.
    #[must_use]
    pub fn contains(&self, address: usize, length: usize) -> bool {
        inside(&self.segments, address, length)
    }

    /// Whether the range lies in memory that nothing writes once the program runs.
    #[must_use]
    pub fn contains_constant(&self, address: usize, length: usize) -> bool {
        inside(&self.constant, address, length)
    }

    /// The build identity that the linker wrote, if it did.
    #[must_use]
    pub fn build(&self) -> Option<&[u8]> {
        self.build.as_deref()
    }
}

/// Of <elf.h>, as are those below; the libc crate has them for Linux only.
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

fn inside(ranges: &[Range<usize>], address: usize, length: usize) -> bool {
    address
        .checked_add(length)
        .is_some_and(|end| ranges.iter().any(|range| range.start <= address && end <= range.end))
}

unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    image: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: `of_program` passes its image, and waits.
    let image = unsafe { &mut *image.cast::<Image>() };
    // SAFETY: the loader says where the headers are and how many.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        let range = start..start.saturating_add(header.p_memsz as usize);
        match header.p_type {
            PT_LOAD => {
                if header.p_flags & PF_W == 0 && header.p_flags & PF_R != 0 {
                    image.constant.push(range.clone());
                }
                image.segments.push(range);
            }
            PT_GNU_RELRO => {
                image.has_relro = true;
                image.constant.push(range);
            }
            PT_NOTE => {
                // SAFETY: a note segment lies in a loaded, readable one.
                let notes = unsafe { std::slice::from_raw_parts(start as *const u8, range.len()) };
                image.build = image.build.take().or_else(|| build_id(notes));
            }
            _ => {}
        }
    }
    // The program comes first; anything but zero ends the walk.
    1
}

/// Finds `NT_GNU_BUILD_ID` (type 3, name "GNU") among ELF notes.
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    while let Some((head, rest)) = notes.split_first_chunk::<12>() {
        let field = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_ne_bytes(bytes) as usize
        };
        let (name_length, length, kind) = (field(0), field(4), field(8));
        let name = rest.get(..name_length)?;
        let rest = rest.get(name_length.next_multiple_of(4)..)?;
        let content = rest.get(..length)?;
        if kind == 3 && name == b"GNU\0" {
            return Some(content.to_vec());
        }
        notes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let mut notes = Vec::new();
        for (kind, content) in [(1u32, &b"abi-tag!"[..]), (3, b"0123456789")] {
            notes.extend(4u32.to_ne_bytes());
            notes.extend((content.len() as u32).to_ne_bytes());
            notes.extend(kind.to_ne_bytes());
            notes.extend(b"GNU\0");
            notes.extend(content);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id(&notes).as_deref(), Some(&b"0123456789"[..]));
        for cut in 0..notes.len() - 2 {
            assert_eq!(build_id(&notes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn this_function_is_in_the_program_and_the_heap_is_not() {
        let image = Image::of_program();
        assert!(image.contains(build_id as *const () as usize, 1));
        let boxed = Box::new(0u8);
        assert!(!image.contains(std::ptr::from_ref(&*boxed).addr(), 1));
        assert!(!image.contains(usize::MAX, 1));
    }
}
