//! Text of others in XML and in JSON: function and pool names may hold anything.

use std::fmt::{self, Write};

/// Text in XML, between tags or in quotes. XML has no way to write control characters, so their pictures
/// (U+2400 and so on) stand for them.
pub(super) struct Xml<'a>(pub(super) &'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\0'..='\x1f' => {
                    f.write_char(char::from_u32(0x2400 + u32::from(character)).unwrap_or('?'))?;
                }
                '\x7f' => f.write_char('\u{2421}')?,
                // C1 controls are allowed and of no use; the last two are not allowed.
                '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Text in JSON, with its quotes.
pub(super) struct Json<'a>(pub(super) &'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                // The last two end a line in JavaScript, which reads JSON in places.
                '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(character))?;
                }
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a<b>&\"c'\\\n\t\0\x1f\x7f\u{85}é漢🦀\u{2028}\u{ffff}]]>";

    #[test]
    fn xml_has_neither_markup_nor_characters_that_are_not_allowed() {
        let text = Xml(NASTY).to_string();
        let expected = "a&lt;b&gt;&amp;&quot;c&apos;\\␊␉␀␟␡\u{fffd}é漢🦀\u{2028}\u{fffd}]]&gt;";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_one_string_of_one_line() {
        let text = Json(NASTY).to_string();
        let expected = r#""a<b>&\"c'\\\u000a\u0009\u0000\u001f\u007f\u0085é漢🦀\u2028"#.to_owned()
            + "\u{ffff}]]>\"";
        assert_eq!(text, expected);
    }
}
