//! A record as it travels: everything in it as text and numbers, cut where it is too long.
//!
//! Not through the codec of arguments: a record may be made while an argument is being encoded.

use std::fmt::{self, Write as _};

use log::kv::{self, Key, VisitSource, VisitValue};
use log::{Level, Record};

use super::Source;
use super::ring::LARGEST;

/// The longest message.
const MESSAGE: usize = 16 << 10;
/// The longest of all other texts.
const TEXT: usize = 1 << 10;
/// Room for key-values; those behind are left out.
const PAIRS: usize = 10 << 10;
// Target, module and file, a key-value that is just begun, and the numbers.
const _: () = assert!(MESSAGE + PAIRS + 5 * (TEXT + 64) <= LARGEST);

/// What stands for a number or a text that is not there.
const NONE: u32 = u32::MAX;
const NO_WORKER: u64 = u64::MAX;

/// See the head of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) source: Source,
    pub(super) line: Option<u32>,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) module: Option<String>,
    pub(super) file: Option<String>,
    pub(super) pairs: Pairs,
}

/// Key-values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pairs(Vec<(String, Value)>);

/// The value of a key.
#[derive(Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    U64(u64),
    I64(i64),
    U128(u128),
    I128(i128),
    F64(f64),
    Char(char),
    Text(String),
}

impl kv::Source for Pairs {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        for (key, value) in &self.0 {
            visitor.visit_pair(Key::from_str(key), value.shown())?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl Value {
    fn shown(&self) -> kv::Value<'_> {
        match self {
            Self::Null => kv::Value::null(),
            Self::Bool(value) => (*value).into(),
            Self::U64(value) => (*value).into(),
            Self::I64(value) => (*value).into(),
            Self::U128(value) => value.into(),
            Self::I128(value) => value.into(),
            Self::F64(value) => (*value).into(),
            Self::Char(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        }
    }
}

/// The bytes of a record. Runs what the user's values do when they are shown.
pub(super) fn encode(record: &Record<'_>, source: Source) -> Vec<u8> {
    let mut out = Output(Vec::with_capacity(256));
    out.0.push(record.level() as u8);
    out.0.extend_from_slice(&source.pid.to_ne_bytes());
    let worker = source.worker.map_or(NO_WORKER, |worker| worker as u64);
    out.0.extend_from_slice(&worker.to_ne_bytes());
    out.0.extend_from_slice(&source.generation.to_ne_bytes());
    out.0.extend_from_slice(&record.line().unwrap_or(NONE).to_ne_bytes());
    out.text(record.target());
    out.shown(record.args(), MESSAGE);
    for text in [record.module_path(), record.file()] {
        match text {
            Some(text) => out.text(text),
            None => out.0.extend_from_slice(&NONE.to_ne_bytes()),
        }
    }
    let most = out.0.len() + PAIRS;
    let mut pairs = PairsOut { out: &mut out, most };
    // It fails where there is no room for more.
    let _ = record.key_values().visit(&mut pairs);
    out.0
}

/// `None` if that is none.
pub(super) fn decode(bytes: &[u8]) -> Option<Line> {
    let mut input = Input(bytes);
    let level = usize::from(input.byte()?);
    let level = Level::iter().find(|known| *known as usize == level)?;
    let (pid, worker) = (input.u32()?, input.u64()?);
    let worker = match worker {
        NO_WORKER => None,
        worker => Some(usize::try_from(worker).ok()?),
    };
    let source = Source { pid, worker, generation: input.u64()? };
    let line = Some(input.u32()?).filter(|line| *line != NONE);
    let (target, message) = (input.text()??, input.text()??);
    let (module, file) = (input.text()?, input.text()?);
    let mut pairs = Vec::new();
    while !input.0.is_empty() {
        let key = input.text()??;
        pairs.push((key, input.value()?));
    }
    Some(Line { level, source, line, target, message, module, file, pairs: Pairs(pairs) })
}

/// Where a record is written.
struct Output(Vec<u8>);

impl Output {
    fn text(&mut self, text: &str) {
        self.shown(&text, TEXT);
    }

    /// A text of `most` bytes at most, then how much more it was.
    fn shown(&mut self, shown: &impl fmt::Display, most: usize) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        let mut cut = Cut { bytes: &mut self.0, most: start + 4 + most, over: 0 };
        // A value that cannot be shown is shown as far as it got.
        let _ = write!(cut, "{shown}");
        let over = cut.over;
        if over > 0 {
            self.0.extend_from_slice(format!("… ({over} more bytes)").as_bytes());
        }
        let length = u32::try_from(self.0.len() - start - 4).unwrap_or(0);
        self.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Takes a text up to a length.
struct Cut<'a> {
    bytes: &'a mut Vec<u8>,
    most: usize,
    over: usize,
}

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut fits = match self.over {
            0 => text.len().min(self.most.saturating_sub(self.bytes.len())),
            _ => 0,
        };
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.bytes.extend_from_slice(&text.as_bytes()[..fits]);
        self.over += text.len() - fits;
        Ok(())
    }
}

/// Where key-values are written.
struct PairsOut<'a> {
    out: &'a mut Output,
    most: usize,
}

impl<'kvs> VisitSource<'kvs> for PairsOut<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if self.out.0.len() >= self.most {
            return Err(kv::Error::msg("there is no room for more"));
        }
        let start = self.out.0.len();
        self.out.text(key.as_str());
        let written = value.visit(&mut *self);
        if written.is_err() {
            self.out.0.truncate(start);
        }
        // One that cannot be read keeps no other from being.
        Ok(())
    }
}

impl PairsOut<'_> {
    fn number<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) -> Result<(), kv::Error> {
        self.out.0.push(tag);
        self.out.0.extend_from_slice(&bytes);
        Ok(())
    }
}

impl VisitValue<'_> for &mut PairsOut<'_> {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.out.0.push(8);
        self.out.shown(&value, TEXT);
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.number(0, [])
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.number(1, [u8::from(value)])
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.number(2, value.to_ne_bytes())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.number(3, value.to_ne_bytes())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.number(4, value.to_ne_bytes())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.number(5, value.to_ne_bytes())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.number(6, value.to_ne_bytes())
    }

    fn visit_char(&mut self, value: char) -> Result<(), kv::Error> {
        self.number(7, u32::from(value).to_ne_bytes())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.out.0.push(8);
        self.out.text(value);
        Ok(())
    }
}

/// What is left to read of a record.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    /// A text, which may be one that is not there.
    #[expect(clippy::option_option, reason = "the outer says whether it can be read")]
    fn text(&mut self) -> Option<Option<String>> {
        let length = self.u32()?;
        if length == NONE {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(self.byte()? != 0),
            2 => Value::U64(self.u64()?),
            3 => Value::I64(self.take().map(i64::from_ne_bytes)?),
            4 => Value::U128(self.take().map(u128::from_ne_bytes)?),
            5 => Value::I128(self.take().map(i128::from_ne_bytes)?),
            6 => Value::F64(self.take().map(f64::from_ne_bytes)?),
            7 => Value::Char(char::from_u32(self.u32()?)?),
            8 => Value::Text(self.text()??),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source { pid: 77, worker: Some(3), generation: 2 };

    /// Every kind of value; the texts are these.
    fn bytes(message: &str, text: &str) -> Vec<u8> {
        let pairs: [(&str, kv::Value<'_>); 11] = [
            ("null", kv::Value::null()),
            ("bool", true.into()),
            ("small", 7u8.into()),
            ("negative", (-7i64).into()),
            ("large", kv::Value::from(&u128::MAX)),
            ("larger", kv::Value::from(&i128::MIN)),
            ("real", 0.5f64.into()),
            ("char", 'ß'.into()),
            ("text", text.into()),
            ("shown", kv::Value::from_debug(&[1])),
            ("", "".into()),
        ];
        let pairs: &[(&str, kv::Value<'_>)] = &pairs;
        let mut builder = Record::builder();
        let builder = builder.level(Level::Debug).target("target").line(Some(u32::MAX - 1));
        let builder = builder.module_path(None).file(Some("file")).key_values(&pairs);
        encode(&builder.args(format_args!("{message}")).build(), SOURCE)
    }

    #[test]
    fn all_of_a_record_survives() {
        let line = decode(&bytes("message", "text")).expect("it can be read");
        assert_eq!(
            (line.level, line.source, line.line),
            (Level::Debug, SOURCE, Some(u32::MAX - 1))
        );
        assert_eq!((line.target.as_str(), line.message.as_str()), ("target", "message"));
        assert_eq!((line.module, line.file.as_deref()), (None, Some("file")));
        let pairs = &line.pairs;
        let show = |key: &str| kv::Source::get(pairs, Key::from_str(key)).map(|v| v.to_string());
        let keys = "null bool small negative large larger real char text shown".split(' ');
        let shown: Vec<_> = keys.map(|key| show(key).unwrap_or_default()).collect();
        let large = (u128::MAX.to_string(), i128::MIN.to_string());
        let wanted = ["None", "true", "7", "-7", &large.0, &large.1, "0.5", "ß", "text", "[1]"];
        assert_eq!(shown, wanted);
        assert_eq!(kv::Source::count(pairs), 11);
    }

    #[test]
    fn what_is_cut_anywhere_or_changed_is_read_without_harm() {
        let bytes = bytes("message", "text");
        for length in 0..bytes.len() {
            if let Some(line) = decode(&bytes[..length]) {
                assert!(kv::Source::count(&line.pairs) < 11, "{length} of {}", bytes.len());
            }
        }
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x81;
            let _ = decode(&wrong);
        }
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let long = "ä".repeat(LARGEST);
        let bytes = bytes(&long, &long);
        assert!(bytes.len() <= LARGEST, "{} bytes", bytes.len());
        let line = decode(&bytes).expect("it can be read");
        assert!(line.message.starts_with("ääää"));
        let over = format!("… ({} more bytes)", 2 * LARGEST - MESSAGE);
        assert!(line.message.ends_with(&over), "{}", &line.message[line.message.len() - 40..]);
        assert_eq!(kv::Source::count(&line.pairs), 11);
    }
}
