//! Values to bytes and back: MessagePack, with descriptors beside the bytes.
//!
//! Structs carry their field names, so that `flatten`, untagged enums and skipped fields work. Depth is
//! limited by the decoder, and no length that is read is believed before as many bytes are there.
//!
//! A value that *is* a plain number or a vector of them travels as its bytes (`plain.rs`). One inside another value
//! is a sequence of numbers, as serde says: writing it as one piece of bytes (rmp-serde can be told to)
//! would be faster and wrong, since an untagged enum then takes the bytes for a text. `pod` and
//! `serde_bytes` make it one piece, by the user's choice.

pub(crate) mod descriptors;
pub(crate) mod mentions;
mod plain;

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;

use descriptors::Carried;
use mentions::Mentioned;
pub(crate) use plain::{large_bytes, take_bytes};

/// An encoded value.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<Carried>,
    /// What the receiver has to know: shared objects. For the sender, who takes them away.
    pub(crate) mentions: Vec<Mentioned>,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes, {} descriptors)", self.bytes.len(), self.descriptors.len())
    }
}

/// The most descriptors one value may carry.
pub(crate) const MOST_DESCRIPTORS: usize = 250;

/// How deep a value may be, values in values: decoding recurses, and whoever sent it must not overflow the stack of a
/// thread of 2 MiB, also in a program that is not optimised, where each step takes 2 to 4 KiB.
const DEEPEST: usize = 256;

/// Why a value could not be encoded or decoded.
#[derive(Debug)]
pub(crate) struct CodecError {
    text: String,
    type_name: &'static str,
    encoding: bool,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.encoding { "encoded" } else { "decoded" };
        write!(f, "a value of type `{}` cannot be {verb}: {}", self.type_name, self.text)
    }
}

impl std::error::Error for CodecError {}

impl Encoded {
    /// Forgets the value, and keeps the memory.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.descriptors.clear();
        self.mentions.clear();
    }
}

/// Encodes a value. Runs the user's `Serialize`, which may panic.
pub(crate) fn encode<T: Serialize + 'static>(value: &T) -> Result<Encoded, CodecError> {
    let mut encoded = Encoded::default();
    encode_into(value, &mut encoded)?;
    Ok(encoded)
}

/// Decodes one of our own messages, which carry no descriptors in the value itself.
pub(crate) fn decode_own<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(Cow::Borrowed(bytes), Vec::new())
}

/// Encodes a value that is not needed any more. A `Vec<u8>` becomes the message without a copy.
pub(crate) fn encode_owned<T: Serialize + 'static>(mut value: T) -> Result<Encoded, CodecError> {
    match take_bytes(&mut value) {
        Some(bytes) => Ok(Encoded { bytes, ..Encoded::default() }),
        None => encode(&value),
    }
}

/// Encodes a value behind the bytes that are there, and puts its descriptors in the place of those that
/// are there; what it mentions comes to what is there. Runs the user's `Serialize`, which may panic.
pub(crate) fn encode_into<T: Serialize + 'static>(
    value: &T,
    into: &mut Encoded,
) -> Result<(), CodecError> {
    if plain::append(value, &mut into.bytes) {
        return Ok(());
    }
    let fail = |text: String| CodecError { text, type_name: type_name::<T>(), encoding: true };
    let Encoded { bytes, mentions, .. } = into;
    let (written, descriptors) = descriptors::collect(mentions, || {
        value.serialize(&mut rmp_serde::Serializer::new(bytes).with_struct_map())
    });
    written.map_err(|error| fail(error.to_string()))?;
    if descriptors.len() > MOST_DESCRIPTORS {
        return Err(fail(format!(
            "it holds {} descriptors, and at most {MOST_DESCRIPTORS} travel in one value",
            descriptors.len()
        )));
    }
    into.descriptors = descriptors;
    Ok(())
}

/// Decodes a value. Runs the user's `Deserialize`, which may panic.
#[inline]
pub(crate) fn decode<T: DeserializeOwned + 'static>(
    bytes: Cow<'_, [u8]>,
    received: Vec<OwnedFd>,
) -> Result<T, CodecError> {
    let fail = |text: String| CodecError { text, type_name: type_name::<T>(), encoding: false };
    let bytes = match plain::decode(bytes) {
        plain::Decoded::Value(value) => return Ok(value),
        plain::Decoded::WrongLength(length) => {
            return Err(fail(format!("it has {length} bytes, and no such value has so many")));
        }
        plain::Decoded::NotPlain(bytes) => bytes,
    };
    let mut rest = &*bytes;
    let value = descriptors::provide(received, || {
        let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
        deserializer.set_max_depth(DEEPEST);
        T::deserialize(&mut deserializer)
    });
    let value = value.map_err(|error| match error {
        rmp_serde::decode::Error::DepthLimitExceeded => fail(format!(
            "it is more than {DEEPEST} deep (values in values); flatten it, into a list with indexes, say"
        )),
        other => fail(other.to_string()),
    })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(fail(format!("{} of its {} bytes are left over", rest.len(), bytes.len())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    fn there_and_back<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + 'static,
    {
        let encoded = encode(value).unwrap();
        assert_eq!(decode::<T>(Cow::Borrowed(&encoded.bytes), Vec::new()).unwrap(), *value);
        let cut = &encoded.bytes[..encoded.bytes.len() - 1];
        assert!(decode::<T>(cut.into(), Vec::new()).is_err(), "cut short: {value:?}");
        let mut long = encoded.bytes;
        long.push(0);
        assert!(decode::<T>(long.into(), Vec::new()).is_err(), "left over: {value:?}");
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        skipped: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<String, i64>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u64),
        Text(String),
        Pair(i8, f32),
    }

    #[test]
    fn every_shape_of_serde_survives() {
        there_and_back(&(i128::MIN, u128::MAX, f64::MIN_POSITIVE, 'ß'));
        there_and_back(&vec![Some(vec![1u16]), None]);
        there_and_back(&[1u8, 2, 3]);
        there_and_back(&Flat { skipped: None, rest: [("a".into(), -1)].into() });
        there_and_back(&vec![
            Untagged::Number(7),
            Untagged::Text("x".into()),
            Untagged::Pair(-1, 0.5),
        ]);
        there_and_back(&Err::<u8, String>("no".into()));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum UntaggedBytes {
        Bytes(Vec<u8>),
        Text(String),
    }

    #[test]
    fn byte_vectors_in_untagged_enums_stay_bytes() {
        there_and_back(&UntaggedBytes::Text("x".into()));
        for bytes in [vec![], vec![1, 2, 3], vec![200, 255]] {
            there_and_back(&UntaggedBytes::Bytes(bytes));
        }
    }
}
