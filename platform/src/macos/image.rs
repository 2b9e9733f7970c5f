//! Where the program itself lies in memory, and which build it is.
//!
//! # Safety
//!
//! dyld hands out the address of the header of each loaded image. The load commands follow it
//! (<mach-o/loader.h>), and both stay mapped while the image is loaded, which for the program is
//! always. Everything after that is reading in a slice.

use std::ops::Range;
use std::sync::OnceLock;

use super::ffi;

/// The loaded segments of the program.
#[derive(Debug, Default)]
pub struct Image {
    segments: Vec<Range<usize>>,
    /// Read-only segments, those that dyld makes read-only after its fixups, and constant data.
    constant: Vec<Range<usize>>,
    build: Option<Vec<u8>>,
}

impl Image {
    /// That of this process.
    pub fn of_program() -> &'static Self {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(find)
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

fn inside(ranges: &[Range<usize>], address: usize, length: usize) -> bool {
    address
        .checked_add(length)
        .is_some_and(|end| ranges.iter().any(|range| range.start <= address && end <= range.end))
}

/// `struct mach_header_64` of <mach-o/loader.h>.
#[repr(C)]
struct Header {
    magic: u32,
    processor: [u32; 2],
    kind: u32,
    command_count: u32,
    command_bytes: u32,
    flags: u32,
    reserved: u32,
}

/// `MH_EXECUTE`: a program, of which a process has one. All else that is loaded is a library.
const PROGRAM: u32 = 2;

/// Looks for the program among the loaded images. It is the first, as far as is known; dyld(3) does
/// not promise that.
fn find() -> Image {
    for index in 0..ffi::_dyld_image_count() {
        let start = ffi::_dyld_get_image_header(index);
        if start.is_null() {
            continue;
        }
        // SAFETY: dyld returns the address of a loaded header, which is aligned to a page.
        let header = unsafe { &*start.cast::<Header>() };
        if header.magic != libc::MH_MAGIC_64 || header.kind != PROGRAM {
            continue;
        }
        // SAFETY: the load commands follow the header, in the same mapping.
        let commands = unsafe { start.cast::<u8>().add(size_of::<Header>()) };
        // SAFETY: the header says how many bytes there are; dyld has read them all, and nothing
        // writes them.
        let commands =
            unsafe { std::slice::from_raw_parts(commands, header.command_bytes as usize) };
        return read(commands, ffi::_dyld_get_image_vmaddr_slide(index));
    }
    Image::default()
}

/// Reads the load commands of a program that was loaded `slide` bytes from its preferred place.
fn read(mut commands: &[u8], slide: isize) -> Image {
    let mut image = Image::default();
    // Every command starts with its kind and its length.
    while let (Some(kind), Some(length)) = (word(commands, 0), word(commands, 4)) {
        let Some(command) = commands.get(..length as usize) else { break };
        match kind {
            libc::LC_SEGMENT_64 => image.add_segment(command, slide),
            UUID => image.build = command.get(8..24).map(<[u8]>::to_vec),
            _ => {}
        }
        // Eight bytes at least, or the walk would never end.
        let Some(rest) = commands.get((length as usize).max(8)..) else { break };
        commands = rest;
    }
    image
}

/// `LC_UUID`: 16 bytes that the linker computes from what it linked.
const UUID: u32 = 0x1b;
/// `SG_READ_ONLY`: "This segment is made read-only after fixups".
const READ_ONLY_LATER: u32 = 0x10;
/// `sizeof(struct segment_command_64)`; the sections follow.
const SEGMENT: usize = 72;
/// `sizeof(struct section_64)`.
const SECTION: usize = 80;

impl Image {
    /// Reads a `struct segment_command_64`.
    fn add_segment(&mut self, command: &[u8], slide: isize) {
        let (Some(range), Some(protection), Some(flags)) =
            (range(command, 24, slide), word(command, 60), word(command, 68))
        else {
            return;
        };
        // What the linker keeps for dyld (`__LINKEDIT`) is no part of the program; what cannot be
        // read (`__PAGEZERO`) is nobody's.
        let name = name(command, 8);
        if protection & READ == 0 || name == b"__LINKEDIT" {
            return;
        }
        if protection & WRITE == 0 || flags & READ_ONLY_LATER != 0 || name == b"__DATA_CONST" {
            self.constant.push(range.clone());
        } else if name == b"__DATA" {
            // For systems before 10.15, which Rust supports on Intel, linkers leave constants with
            // pointers in them among the variables, in a section of their own. Writable for dyld;
            // no code of the program writes there.
            for section in command.get(SEGMENT..).unwrap_or(&[]).chunks_exact(SECTION) {
                if self::name(section, 0) == b"__const" {
                    self.constant.extend(self::range(section, 32, slide));
                }
            }
        }
        self.segments.push(range);
    }
}

/// `VM_PROT_READ` and `VM_PROT_WRITE` of <mach/vm_prot.h>.
const READ: u32 = 1;
const WRITE: u32 = 2;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A name of up to 16 bytes, filled up with zeroes.
fn name(bytes: &[u8], at: usize) -> &[u8] {
    let field = bytes.get(at..at + 16).unwrap_or(&[]);
    field.split(|byte| *byte == 0).next().unwrap_or(&[])
}

/// An address and a length, of 64 bits each, as a range of this process.
fn range(bytes: &[u8], at: usize, slide: isize) -> Option<Range<usize>> {
    let field = |at: usize| -> Option<usize> {
        usize::try_from(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
    };
    let start = field(at)?.checked_add_signed(slide)?;
    Some(start..start.checked_add(field(at + 8)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, address: u64, protection: u32, flags: u32, sections: &[u8]) -> Vec<u8> {
        let mut command = Vec::new();
        command.extend(libc::LC_SEGMENT_64.to_ne_bytes());
        command.extend(((SEGMENT + sections.len()) as u32).to_ne_bytes());
        command.extend(padded(name));
        for part in [address, 0x1000, 0, 0x1000] {
            command.extend(part.to_ne_bytes());
        }
        for part in [7, protection, (sections.len() / SECTION) as u32, flags] {
            command.extend(part.to_ne_bytes());
        }
        command.extend(sections);
        command
    }

    fn section(name: &str, address: u64, length: u64) -> Vec<u8> {
        let mut section = padded(name);
        section.extend(padded("__DATA"));
        section.extend(address.to_ne_bytes());
        section.extend(length.to_ne_bytes());
        section.resize(SECTION, 0);
        section
    }

    fn padded(name: &str) -> Vec<u8> {
        let mut field = name.as_bytes().to_vec();
        field.resize(16, 0);
        field
    }

    #[test]
    fn constant_memory_is_told_from_variables() {
        let mut commands = segment("__PAGEZERO", 0, 0, 0, &[]);
        commands.extend(segment("__TEXT", 0x10_0000, 5, 0, &[]));
        commands.extend(segment("__DATA_CONST", 0x10_1000, 3, READ_ONLY_LATER, &[]));
        let sections = [section("__data", 0x10_2000, 0x100), section("__const", 0x10_2100, 0x40)];
        commands.extend(segment("__DATA", 0x10_2000, 3, 0, &sections.concat()));
        commands.extend(segment("__LINKEDIT", 0x10_3000, 1, 0, &[]));
        commands.extend(UUID.to_ne_bytes());
        commands.extend(24u32.to_ne_bytes());
        commands.extend(b"0123456789abcdef");
        let image = read(&commands, 0x20_0000);
        assert_eq!(image.build(), Some(&b"0123456789abcdef"[..]));
        assert!(!image.contains(0x1000, 8));
        assert!(image.contains(0x30_0000, 0x1000) && image.contains_constant(0x30_0000, 0x1000));
        assert!(!image.contains(0x30_0001, 0x1000), "over the end of a segment");
        assert!(image.contains_constant(0x30_1ff8, 8), "__DATA_CONST");
        assert!(image.contains(0x30_2000, 8) && !image.contains_constant(0x30_2000, 8));
        assert!(image.contains_constant(0x30_2100, 0x40), "__DATA,__const");
        assert!(!image.contains_constant(0x30_2100, 0x41));
        assert!(!image.contains(0x30_3000, 8), "__LINKEDIT");
        assert!(!image.contains(usize::MAX, 1));
        for cut in 0..commands.len() {
            assert_eq!(read(&commands[..cut], 0).build(), None, "cut at {cut}");
        }
    }

    #[test]
    fn commands_that_claim_no_length_end_the_walk() {
        let mut commands = vec![0; 64];
        commands[0] = 0x19;
        assert!(read(&commands, 0).segments.is_empty());
    }

    #[test]
    fn this_function_is_in_the_program_and_the_heap_is_not() {
        let image = Image::of_program();
        assert!(image.contains(read as *const () as usize, 1));
        assert!(image.build().is_some());
        let boxed = Box::new(0u8);
        assert!(!image.contains(std::ptr::from_ref(&*boxed).addr(), 1));
    }
}
