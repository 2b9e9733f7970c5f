//! Vectors of plain data that travel as their bytes.
//!
//! Serde encodes a vector one element after the other. For numbers and other plain data
//! ([`Pod`]) that costs five to ten times as much as copying the bytes. A `Vec` of numbers
//! that *is* the argument, or the result, travels as bytes without any of this; inside another value, or
//! with elements of your own type, there are two ways:
//!
//! * `#[serde(with = "offspring::pod")]` on a field that is a `Vec<T>`, a `Box<[T]>`, or an `Option` of one;
//! * [`PodVec<T>`] in the place of the `Vec<T>`.
//!
//! Both copy once on each side. Large data that does not change is cheaper as a
//! [`SharedSlice`](crate::SharedSlice), which is not copied at all.
//!
//! The bytes are as they lie in memory, so this is for processes of one program, and not for files that
//! other machines read.
//!
//! In an untagged enum, a variant with such bytes goes before one with a `String`: serde takes bytes that
//! happen to be UTF-8 for a text.
//!
//! # Errors
//!
//! Decoding fails when the bytes are no whole number of elements.
//!
//! # Examples
//!
//! ```standalone_crate
//! use offspring::Context;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Image {
//!     width: usize,
//!     #[serde(with = "offspring::pod")]
//!     pixels: Vec<[f32; 3]>,
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     offspring::init();
//!     let image = Image { width: 2, pixels: vec![[0.5; 3]; 4] };
//!     let child = Context::Spawn.process().start(image, |image: Image| {
//!         image.pixels.chunks(image.width).map(|row| row[0][2]).sum::<f32>()
//!     })?;
//!     assert_eq!(child.join()?, 1.0);
//!     Ok(())
//! }
//! ```

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use bytemuck::allocation::pod_collect_to_vec;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The `serialize` of `#[serde(with = "offspring::pod")]`.
///
/// # Errors
///
/// What the serializer reports.
pub fn serialize<F: Field, S: Serializer>(field: &F, serializer: S) -> Result<S::Ok, S::Error> {
    field.write(serializer)
}

/// The `deserialize` of `#[serde(with = "offspring::pod")]`.
///
/// # Errors
///
/// When the bytes are no whole number of elements, and what the deserializer reports.
pub fn deserialize<'de, F: Field, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error> {
    F::read(deserializer)
}

/// What `#[serde(with = "offspring::pod")]` may stand at: a `Vec<T>` or a `Box<[T]>` of plain data, or an
/// `Option` of one.
pub trait Field: Sized + private::Sealed {
    /// Writes it as bytes.
    ///
    /// # Errors
    ///
    /// What the serializer reports.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it from bytes.
    ///
    /// # Errors
    ///
    /// When they are no whole number of elements, and what the deserializer reports.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

mod private {
    /// New places may be added without breaking anybody.
    pub trait Sealed {}
    impl<T: bytemuck::Pod> Sealed for Vec<T> {}
    impl<T: bytemuck::Pod> Sealed for Box<[T]> {}
    impl<F: super::Field> Sealed for Option<F> {}
}

impl<T: Pod> Field for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytemuck::cast_slice(self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes(PhantomData))
    }
}

impl<T: Pod> Field for Box<[T]> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytemuck::cast_slice(self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::read(deserializer).map(Vec::into_boxed_slice)
    }
}

/// So that the derived code of the struct around it stays one call.
struct Inside<F>(F);

impl<F: Field> Serialize for Inside<&F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, F: Field> Deserialize<'de> for Inside<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        F::read(deserializer).map(Self)
    }
}

impl<F: Field> Field for Option<F> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Inside).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inside = Option::<Inside<F>>::deserialize(deserializer)?;
        Ok(inside.map(|inside| inside.0))
    }
}

/// Makes a vector, aligned, of bytes that may lie anywhere.
struct Bytes<T>(PhantomData<T>);

impl<T: Pod> Bytes<T> {
    fn elements<E: Error>(bytes: &[u8]) -> Result<Vec<T>, E> {
        const { assert!(size_of::<T>() > 0, "elements without a size have no bytes to travel as") }
        if bytes.len() % size_of::<T>() != 0 {
            return Err(E::custom(format!(
                "{} bytes are not a whole number of elements: a `{}` has {}",
                bytes.len(),
                type_name::<T>(),
                size_of::<T>()
            )));
        }
        Ok(pod_collect_to_vec(bytes))
    }
}

impl<'de, T: Pod> Visitor<'de> for Bytes<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes of a vector of `{}`", type_name::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
        Self::elements(bytes)
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<T>, E> {
        // A vector of bytes, or of the same alignment, is taken as it is.
        match bytemuck::allocation::try_cast_vec(bytes) {
            Ok(elements) => Ok(elements),
            Err((_, bytes)) => Self::elements(&bytes),
        }
    }

    /// Formats that have no bytes, such as JSON, write a list of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = list.next_element::<u8>()? {
            bytes.push(byte);
        }
        self.visit_byte_buf(bytes)
    }
}

/// A vector of plain data that travels as its bytes, wherever it stands. It dereferences to `Vec<T>`.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, PodVec};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let points = PodVec(vec![[1.0f64, 2.0]; 1000]);
///     let child = Context::Spawn.process().start((points, 3), |(points, n): (PodVec<[f64; 2]>, usize)| points[n][1])?;
///     assert_eq!(child.join()?, 2.0);
///     Ok(())
/// }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodVec<T>(pub Vec<T>);

impl<T> Deref for PodVec<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for PodVec<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for PodVec<T> {
    fn from(elements: Vec<T>) -> Self {
        Self(elements)
    }
}

impl<T> From<PodVec<T>> for Vec<T> {
    fn from(elements: PodVec<T>) -> Self {
        elements.0
    }
}

impl<T> FromIterator<T> for PodVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> fmt::Debug for PodVec<T> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodVec<{}>({} elements)", type_name::<T>(), self.len())
    }
}

impl<T: Pod> Serialize for PodVec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for PodVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::read(deserializer).map(Self)
    }
}
