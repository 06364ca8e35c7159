//! Walks over JSON text: strings, numbers and whole values, by RFC 8259 and no
//! wider. Knows nothing of events.

use std::borrow::Cow;

/// Deeper nesting is refused, so that hostile input cannot exhaust the stack.
pub(super) const NESTING_MAX: usize = 64;

/// Why a value cannot be walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not JSON from here on.
    Syntax,
    /// More than [`NESTING_MAX`] levels.
    TooDeep,
}

/// A position in JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the scanner is, in bytes.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to an earlier position.
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// The text from `start` up to here. Both are at ASCII bytes.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// The next byte that is not white space, without passing it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes `byte` if it comes next, after white space.
    #[inline]
    pub(super) fn pass(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes `word` if it comes next and is not the start of a longer one.
    pub(super) fn pass_word(&mut self, word: &str) -> bool {
        if self.peek().is_none() || !self.text[self.at..].starts_with(word) {
            return false;
        }
        self.at += word.len();
        let whole = self.at_delimiter();
        if !whole {
            self.at -= word.len();
        }
        whole
    }

    /// Passes a string and returns what is between its quotes, as written. The
    /// escapes in it are checked by [`unescape`].
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<RawString<'a>, Fault> {
        if !self.pass(b'"') {
            return Err(Fault::Syntax);
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at = stop_of_plain_text(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(RawString { raw, escaped });
                }
                // What an escape names is at least one ASCII byte.
                Some(b'\\') if bytes.get(self.at + 1).is_some_and(u8::is_ascii) => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// Passes a number and returns its value, which is infinite where it exceeds
    /// an `f64`.
    #[inline]
    pub(super) fn number(&mut self) -> Result<f64, Fault> {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        let negative = bytes.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let mut significand = 0;
        let first = bytes.get(self.at).copied();
        let whole_digits = self.digits(&mut significand);
        if whole_digits == 0 || (whole_digits > 1 && first == Some(b'0')) {
            return Err(Fault::Syntax);
        }
        let mut decimals = 0;
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            decimals = self.digits(&mut significand);
            if decimals == 0 {
                return Err(Fault::Syntax);
            }
        }
        let has_exponent = matches!(bytes.get(self.at), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            if self.digits(&mut 0) == 0 {
                return Err(Fault::Syntax);
            }
        }
        if !self.at_delimiter() {
            return Err(Fault::Syntax);
        }
        // Both are exact as f64, so one division rounds correctly (Clinger 1990).
        if !has_exponent
            && whole_digits + decimals <= MANTISSA_DIGITS_MAX
            && significand <= MANTISSA_MAX
            && let Some(scale) = POWERS_OF_TEN.get(decimals)
        {
            let value = significand as f64 / scale;
            return Ok(if negative { -value } else { value });
        }
        self.since(start).parse().map_err(|_| Fault::Syntax)
    }

    /// Passes any value and returns its text.
    pub(super) fn value(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        self.skip_value(NESTING_MAX)?;
        Ok(self.since(start))
    }

    /// Everything from here on.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The text up to the next delimiter, for showing what is no JSON.
    pub(super) fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let is_end = |c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace();
        rest.find(is_end).map_or(rest, |end| &rest[..end])
    }

    fn skip_value(&mut self, levels: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string()?.check(),
            Some(b'{') if levels > 0 => self.skip_members(levels - 1),
            Some(b'[') if levels > 0 => self.skip_items(levels - 1),
            Some(b'{' | b'[') => Err(Fault::TooDeep),
            Some(b't') if self.pass_word("true") => Ok(()),
            Some(b'f') if self.pass_word("false") => Ok(()),
            Some(b'n') if self.pass_word("null") => Ok(()),
            _ => self.number().map(|_| ()),
        }
    }

    fn skip_members(&mut self, levels: usize) -> Result<(), Fault> {
        self.at += 1;
        if self.pass(b'}') {
            return Ok(());
        }
        loop {
            self.string()?.check()?;
            if !self.pass(b':') {
                return Err(Fault::Syntax);
            }
            self.skip_value(levels)?;
            if self.pass(b'}') {
                return Ok(());
            }
            if !self.pass(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    fn skip_items(&mut self, levels: usize) -> Result<(), Fault> {
        self.at += 1;
        if self.pass(b']') {
            return Ok(());
        }
        loop {
            self.skip_value(levels)?;
            if self.pass(b']') {
                return Ok(());
            }
            if !self.pass(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    /// Passes decimal digits into `significand` and returns how many.
    #[inline]
    fn digits(&mut self, significand: &mut u64) -> usize {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let mut count = 0;
        for digit in rest
            .iter()
            .map(|byte| byte.wrapping_sub(b'0'))
            .take_while(|digit| *digit < 10)
        {
            *significand = significand.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        self.at = start + count;
        count
    }

    #[inline]
    fn at_delimiter(&self) -> bool {
        matches!(
            self.text.as_bytes().get(self.at),
            None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
        )
    }
}

/// That many digits cannot overflow the significand.
const MANTISSA_DIGITS_MAX: usize = 19;
/// Every whole number up to this one is an `f64`.
const MANTISSA_MAX: u64 = 1 << 53;
/// The powers of ten that are exact as `f64`.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// What stands between a string's quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawString<'a> {
    /// As written, escapes and all.
    pub(super) raw: &'a str,
    escaped: bool,
}

impl<'a> RawString<'a> {
    /// What the string says.
    #[inline]
    pub(super) fn unescaped(self) -> Result<Cow<'a, str>, Fault> {
        if self.escaped {
            unescape(self.raw).map(Cow::Owned).ok_or(Fault::Syntax)
        } else {
            Ok(Cow::Borrowed(self.raw))
        }
    }

    /// Whether its escapes are ones that JSON has.
    pub(super) fn check(self) -> Result<(), Fault> {
        self.unescaped().map(|_| ())
    }
}

/// Where a quote, a backslash, a control character or the end follows.
#[inline]
fn stop_of_plain_text(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at a time. The lowest hit is exact; borrows only blur higher ones.
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ QUOTES;
        let backslash = word ^ BACKSLASHES;
        let hits = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(SPACES) & !word))
            & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let is_plain = |byte: &&u8| **byte >= b' ' && **byte != b'"' && **byte != b'\\';
    at + bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(is_plain)
        .count()
}

/// Resolves escapes; `None` where one is unknown or half a surrogate pair.
fn unescape(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(backslash) = rest.find('\\') {
        text.push_str(&rest[..backslash]);
        let escape = *rest.as_bytes().get(backslash + 1)?;
        rest = rest.get(backslash + 2..)?;
        text.push(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unescape_unicode(&mut rest)?,
            _ => return None,
        });
    }
    text.push_str(rest);
    Some(text)
}

/// Takes the hexadecimal digits after `\u`, of both halves of a surrogate pair.
fn unescape_unicode(rest: &mut &str) -> Option<char> {
    let high = take_hex(rest)?;
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high);
    }
    *rest = rest.strip_prefix("\\u")?;
    let low = take_hex(rest)?;
    if !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

fn take_hex(rest: &mut &str) -> Option<u32> {
    let digits = rest
        .get(..4)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    *rest = &rest[4..];
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What the scanner makes of a whole text, if it is one value and nothing else.
    fn scan(text: &str) -> Result<&str, Fault> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        if scanner.peek().is_some() {
            Err(Fault::Syntax)
        } else {
            Ok(value)
        }
    }

    #[test]
    fn takes_what_json_allows_and_no_more() {
        for text in [
            "0",
            "-0",
            "12.5",
            "-1e5",
            "1E+05",
            "1.25e-7",
            "true",
            "false",
            "null",
            "\"\"",
            r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#,
            "[]",
            "[1,[2],{}]",
            "{}",
            r#"{"a":{"b":[null]}}"#,
            " [ 1 , 2 ] ",
            "{ \"a\" : 1 , \"b\" : 2 }",
        ] {
            assert_eq!(scan(text), Ok(text.trim()), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "1_000",
            "NaN",
            "Infinity",
            "-Infinity",
            "nul",
            "nullx",
            "True",
            "\"",
            "\"\\\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "\"a\nb\"",
            "\"\\é\"",
            "'a'",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "1 2",
            "{}{}",
            "// x\n1",
        ] {
            assert_eq!(scan(text), Err(Fault::Syntax), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(scan(&nested(NESTING_MAX)).is_ok());
        assert_eq!(scan(&nested(NESTING_MAX + 1)), Err(Fault::TooDeep));
        assert_eq!(scan(&"{\"a\":".repeat(100_000)), Err(Fault::TooDeep));
    }

    #[test]
    fn numbers_are_rounded_correctly() {
        for text in [
            "0.1",
            "57.70887",
            "11.974560000000001",
            "9007199254740993",
            "123456789012345678901234567890",
            "0.000000000000000000000000000001",
            "1e308",
            "4.9e-324",
            "2.2250738585072011e-308",
            "0.30000000000000004",
            "179769313486231570000000000000000000000.5",
        ] {
            assert_eq!(
                Scanner::new(text).number(),
                Ok(text.parse().expect("a number")),
                "{text}"
            );
        }
        assert_eq!(Scanner::new("1e999").number(), Ok(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn any_number_reads_back(value: f64) {
            let text = value.to_string();
            prop_assert_eq!(Scanner::new(&text).number(), Ok(value));
        }

        #[test]
        fn decimals_read_like_the_standard_library_does(whole in 0_u64..1 << 60, decimals in "[0-9]{1,25}") {
            let text = format!("-{whole}.{decimals}");
            prop_assert_eq!(Scanner::new(&text).number(), Ok(text.parse().expect("a number")));
        }

        #[test]
        fn any_string_reads_back(value: String) {
            let text = serde_json::to_string(&value).expect("a string");
            let read = Scanner::new(&text).string().and_then(RawString::unescaped);
            prop_assert_eq!(read, Ok(Cow::Owned(value)));
        }

        #[test]
        fn accepts_the_same_texts_as_serde_json(text in r#"[\[\]{}:,"\\ue0-2.ntrulfas \-]{0,12}"#) {
            let theirs = serde_json::from_str::<Value>(&text);
            // Theirs refuses numbers beyond f64; ours leaves that to the caller.
            let too_large = theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
            prop_assume!(!too_large);
            prop_assert_eq!(scan(&text).is_ok(), theirs.is_ok());
        }
    }
}
