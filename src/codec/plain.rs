//! Values that are plain numbers, or vectors of them, or nothing: their bytes are their message.
//!
//! Both sides know the type, so nothing has to say what the bytes are. A vector is five to ten times faster than
//! one number after the other, and a `Vec<u8>` is moved, not copied. A number is the value of the smallest tasks:
//! it cannot mention anything, so nobody has to look whether it did.

use std::any::Any;
use std::borrow::Cow;

use bytemuck::Pod;

/// What [`decode`] makes of a message.
pub(super) enum Decoded<'a, T> {
    Value(T),
    /// These are not as many bytes as such a value has.
    WrongLength(usize),
    /// The type is not one of those.
    NotPlain(Cow<'a, [u8]>),
}

/// The bytes of a `Vec<u8>`.
pub(crate) fn take_bytes<T: 'static>(value: &mut T) -> Option<Vec<u8>> {
    (value as &mut dyn Any).downcast_mut::<Vec<u8>>().map(std::mem::take)
}

/// The bytes of a `Vec<u8>` that has more than `small` of them.
pub(crate) fn large_bytes<T: 'static>(value: &mut T, small: usize) -> Option<Vec<u8>> {
    let bytes = (value as &mut dyn Any).downcast_mut::<Vec<u8>>()?;
    (bytes.len() > small).then(|| std::mem::take(bytes))
}

macro_rules! plain {
    ($($number:ty),*) => {
        /// Appends the bytes of a value of one of those types; false if it is of another.
        pub(super) fn append<T: 'static>(value: &T, bytes: &mut Vec<u8>) -> bool {
            let value = value as &dyn Any;
            if value.is::<()>() {
                return true;
            }
            $(if let Some(number) = value.downcast_ref::<$number>() {
                bytes.extend_from_slice(bytemuck::bytes_of(number));
                return true;
            })*
            $(if let Some(numbers) = value.downcast_ref::<Vec<$number>>() {
                bytes.extend_from_slice(bytemuck::cast_slice(numbers));
                return true;
            })*
            false
        }

        /// Turns bytes back into a value of one of those types.
        #[inline]
        pub(super) fn decode<T: 'static>(mut bytes: Cow<'_, [u8]>) -> Decoded<'_, T> {
            let mut place: Option<T> = None;
            let any = &mut place as &mut dyn Any;
            if let Some(place) = any.downcast_mut::<Option<Vec<u8>>>() {
                *place = Some(std::mem::take(&mut bytes).into_owned());
            }
            else if let Some(place) = any.downcast_mut::<Option<()>>() {
                *place = bytes.is_empty().then_some(());
                if place.is_none() {
                    return Decoded::WrongLength(bytes.len());
                }
            }
            $(else if let Some(place) = any.downcast_mut::<Option<$number>>() {
                *place = bytemuck::try_pod_read_unaligned(&bytes).ok();
                if place.is_none() {
                    return Decoded::WrongLength(bytes.len());
                }
            })*
            $(else if let Some(place) = any.downcast_mut::<Option<Vec<$number>>>() {
                *place = numbers(&bytes);
                if place.is_none() {
                    return Decoded::WrongLength(bytes.len());
                }
            })*
            match place {
                Some(value) => Decoded::Value(value),
                None => Decoded::NotPlain(bytes),
            }
        }
    };
}

plain!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize, f32, f64);

fn numbers<N: Pod>(bytes: &[u8]) -> Option<Vec<N>> {
    if bytes.len() % size_of::<N>() != 0 {
        return None;
    }
    let mut numbers = vec![N::zeroed(); bytes.len() / size_of::<N>()];
    bytemuck::cast_slice_mut::<N, u8>(&mut numbers).copy_from_slice(bytes);
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_vectors_of_them_are_their_bytes_and_nothing_else_is() {
        let mut bytes = Vec::new();
        assert!(append(&vec![0x0102u16, 3], &mut bytes));
        assert_eq!(bytes, [0x0102u16.to_ne_bytes(), 3u16.to_ne_bytes()].concat());
        let Decoded::Value(back) = decode::<Vec<u16>>(bytes.as_slice().into()) else {
            panic!("not decoded");
        };
        assert_eq!(back, [0x0102, 3]);
        assert!(matches!(
            decode::<Vec<u16>>([1u8, 2, 3].as_slice().into()),
            Decoded::WrongLength(_)
        ));
        bytes.clear();
        assert!(append(&-2.5f64, &mut bytes) && append(&(), &mut bytes));
        assert_eq!(bytes, (-2.5f64).to_ne_bytes());
        let decoded = decode::<f64>(bytes.as_slice().into());
        assert!(matches!(decoded, Decoded::Value(value) if value == -2.5));
        assert!(matches!(decode::<f32>(bytes.as_slice().into()), Decoded::WrongLength(_)));
        assert!(matches!(decode::<()>(bytes.as_slice().into()), Decoded::WrongLength(_)));
        assert!(matches!(decode::<()>([].as_slice().into()), Decoded::Value(())));
        assert!(matches!(decode::<char>([1u8, 2].as_slice().into()), Decoded::NotPlain(_)));
        assert!(!append(&vec!["text"], &mut bytes));
        assert!(!append(&true, &mut bytes));
        assert_eq!(take_bytes(&mut vec![1u8, 2]), Some(vec![1, 2]));
    }
}
