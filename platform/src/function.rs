//! Functions that can be named across processes of one program.
//!
//! A function is named by the distance, in the loaded program, between its [`Descriptor`] and one
//! anchor. The distance is the same in every process of the same build, wherever the program was
//! loaded. The receiver does not trust it: the distance must lead into the program's own image, to a
//! descriptor that carries the magic number, its own size, and a *relocated pointer to the anchor*,
//! which no constant data can contain by accident. Only then is anything in it used.
//!
//! # Safety
//!
//! Two unsafe operations live here: reading a descriptor at a validated address, and making a
//! zero-sized `Copy` value of a function type whose descriptor was validated.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};

use crate::os::image;

/// The place all distances are measured from. A static, so it exists once in the program; a
/// function would not do, since code may be duplicated or merged by the linker.
/// A linker that merged it with equal data would do so in all processes of the program alike.
static ANCHOR: Anchor = Anchor(0x6f66_6673_7072_6e67);

struct Anchor(#[expect(dead_code, reason = "only its place matters")] u64);

const MAGIC: [u64; 2] = [0x9d3c_51e7_0b6a_f284, 0x2e8f_74a9_c615_d03b];

/// One kind of call: what a function of this kind is handed when it runs.
pub trait Shape: 'static {
    /// What the caller passes; may borrow.
    type Call<'a>;
}

/// One function of some [`Shape`], together with the code around it that decodes and encodes.
pub trait Body<S: Shape>: 'static {
    /// A `fn` item or a closure that captures nothing.
    type Function: Copy + 'static;

    /// Runs the function.
    fn run(function: Self::Function, call: &mut S::Call<'_>);
}

type Entrance<S> = fn(&mut <S as Shape>::Call<'_>);

/// Describes one function; exists once, in the constant data of the program.
#[repr(C)]
pub struct Descriptor {
    magic: [u64; 2],
    size: usize,
    anchor: &'static Anchor,
    /// An [`Entrance`] of one [`Shape`]. `Any` keeps the shapes apart.
    entrance: &'static (dyn Any + Send + Sync),
    name: fn() -> &'static str,
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("name", &self.name()).finish_non_exhaustive()
    }
}

struct Described<S, B>(PhantomData<(S, B)>);

impl<S: Shape, B: Body<S>> Described<S, B> {
    const CAPTURES_NOTHING: () = assert!(
        size_of::<B::Function>() == 0,
        "this closure captures variables, which do not exist in another process: pass them as \
         arguments, make them the worker's state with `init`, or share them (`SharedSlice`); \
         `offspring::fork` has forms that inherit them"
    );
    const ENTRANCE: Entrance<S> = enter::<S, B>;
    const DESCRIPTOR: &'static Descriptor = &Descriptor {
        magic: MAGIC,
        size: size_of::<Descriptor>(),
        anchor: &ANCHOR,
        entrance: &Self::ENTRANCE,
        name: std::any::type_name::<B::Function>,
    };
}

fn enter<S: Shape, B: Body<S>>(call: &mut S::Call<'_>) {
    const { Described::<S, B>::CAPTURES_NOTHING };
    // SAFETY:
    // - `B::Function` is zero-sized (the line above), so a dangling pointer is valid for reading it;
    // - it is `Copy`, and a value of it was given to `describe` in this program, of which this is a
    //   copy: `enter` is reachable only through a descriptor, and descriptors leave this module only
    //   through `describe`, which takes a value, and `find`, whose distance came from a `describe`.
    let function = unsafe { std::ptr::NonNull::<B::Function>::dangling().read() };
    B::run(function, call);
}

/// The descriptor of a function. Capturing closures do not compile.
pub fn describe<S: Shape, B: Body<S>>(_function: B::Function) -> &'static Descriptor {
    const { Described::<S, B>::CAPTURES_NOTHING };
    Described::<S, B>::DESCRIPTOR
}

impl Descriptor {
    /// The name of the function's type, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        (self.name)()
    }

    /// Calls the function, if it is of shape `S`.
    ///
    /// # Errors
    ///
    /// [`NotFound::WrongShape`] when it is not.
    pub fn call<S: Shape>(&self, call: &mut S::Call<'_>) -> Result<(), NotFound> {
        let entrance = self.entrance.downcast_ref::<Entrance<S>>().ok_or(NotFound::WrongShape)?;
        entrance(call);
        Ok(())
    }

    /// The distance that [`find`] turns back into this descriptor, in this or another process of the
    /// same program.
    ///
    /// # Errors
    ///
    /// [`NotFound::Foreign`] when the function was compiled into another shared object: it has its
    /// own anchor, and another process may have loaded it elsewhere or not at all.
    pub fn distance(&'static self) -> Result<i64, NotFound> {
        let here = std::ptr::from_ref(self).addr();
        let anchor = std::ptr::from_ref(&ANCHOR).addr();
        let image = image::Image::of_program();
        if !std::ptr::eq(self.anchor, &raw const ANCHOR)
            || !image.contains(here, size_of::<Self>())
            || !image.contains(anchor, size_of::<Anchor>())
        {
            return Err(NotFound::Foreign);
        }
        Ok(apart(here, anchor))
    }
}

/// The distance of a static of the program from the anchor: the same in every process of the same build.
///
/// Only a number, to be compared with that of another static; nothing is ever read there.
///
/// # Errors
///
/// [`NotFound::Foreign`] when it lies elsewhere: on the heap, or in another shared object.
pub fn place_of<T>(object: &'static T) -> Result<i64, NotFound> {
    let here = std::ptr::from_ref(object).addr();
    let anchor = std::ptr::from_ref(&ANCHOR).addr();
    let image = image::Image::of_program();
    if !image.contains(here, size_of::<T>()) || !image.contains(anchor, size_of::<Anchor>()) {
        return Err(NotFound::Foreign);
    }
    Ok(apart(here, anchor))
}

/// How far one address in an image is behind another.
fn apart(here: usize, anchor: usize) -> i64 {
    // Two addresses in one image are never further apart than `isize::MAX`.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the difference is meant to wrap into a signed one"
    )]
    let distance = here.wrapping_sub(anchor) as i64;
    distance
}

/// Why a distance named no function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotFound {
    /// The function lives in another shared object than the program itself.
    Foreign,
    /// The distance leads out of the program, or is not aligned.
    OutOfRange,
    /// There is no descriptor at that place.
    NoDescriptor,
    /// There is one, but for another kind of call.
    WrongShape,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => {
                "the function is part of another shared object, not of the program itself; only \
                 functions of the program can be run in its children"
            }
            Self::OutOfRange => "the function's distance leads out of the program",
            Self::NoDescriptor => "there is no function at that distance",
            Self::WrongShape => "the function at that distance is for another kind of call",
        })
    }
}

impl std::error::Error for NotFound {}

/// Finds the descriptor at a distance received from another process.
///
/// # Errors
///
/// Any distance that does not lead to a descriptor of this program; never a wild read.
pub fn find(distance: i64) -> Result<&'static Descriptor, NotFound> {
    let anchor = std::ptr::from_ref(&ANCHOR);
    let distance = isize::try_from(distance).map_err(|_| NotFound::OutOfRange)?;
    let address = anchor.addr().checked_add_signed(distance).ok_or(NotFound::OutOfRange)?;
    if address % align_of::<Descriptor>() != 0
        || !image::Image::of_program().contains_constant(address, size_of::<Descriptor>())
    {
        return Err(NotFound::OutOfRange);
    }
    let candidate = std::ptr::with_exposed_provenance::<Raw>(address);
    // SAFETY:
    // - readable: `contains_constant` says that the whole range lies in a loaded segment of the
    //   program that nothing writes after relocation (`image.rs` has the list of such segments);
    // - aligned: checked above; `Raw` has the layout of `Descriptor` and only integers in it.
    let raw = unsafe { candidate.read() };
    if raw.magic != MAGIC || raw.size != size_of::<Descriptor>() || raw.anchor != anchor.addr() {
        return Err(NotFound::NoDescriptor);
    }
    let descriptor = std::ptr::with_exposed_provenance::<Descriptor>(address);
    // SAFETY:
    // - the bytes are a `Descriptor`: they hold both magic numbers and the address of the private
    //   static `ANCHOR` as this process loaded it, and only `Described::DESCRIPTOR` puts the three
    //   side by side, in constant data;
    // - it is never written and never unloaded: the program's own image lives as long as the process.
    Ok(unsafe { &*descriptor })
}

/// The first fields of a [`Descriptor`], with its pointer as a plain number.
#[repr(C)]
struct Raw {
    magic: [u64; 2],
    size: usize,
    anchor: usize,
}
