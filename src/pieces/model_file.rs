//! The model file of SentencePiece: a message of protocol buffers, of which the pieces are read. Nothing is allocated by
//! what the file claims.

use super::{Kind, Piece};

/// Field 1 of a model: a piece. Fields of a piece: text, score, kind.
const PIECE: u64 = 1;
const TEXT: u64 = 1;
const SCORE: u64 = 2;
const KIND: u64 = 3;
/// Field 3 of a model: what happens to a text before it is split.
const NORMALIZER: u64 = 3;
const ADD_DUMMY_PREFIX: u64 = 3;

/// The pieces of a model file.
///
/// # Errors
/// What is wrong with it, in words.
pub fn pieces_of(bytes: &[u8]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (PIECE, Value::Bytes(bytes)) => pieces.push(piece(bytes)?),
            (NORMALIZER, Value::Bytes(bytes)) => {
                let mut fields = Fields { rest: bytes };
                while let Some((number, value)) = fields.next()? {
                    if number == ADD_DUMMY_PREFIX && value == Value::Number(1) {
                        return Err("it puts a space before every text, which Gemma's does not".to_string());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(pieces)
}

fn piece(bytes: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (TEXT, Value::Bytes(bytes)) => {
                piece.text = String::from_utf8(bytes.to_vec()).map_err(|_| "a piece is no UTF-8 text")?;
            }
            (SCORE, Value::Four(bytes)) => piece.score = f32::from_le_bytes(bytes),
            (KIND, Value::Number(kind)) => {
                piece.kind = Kind::of(kind.into()).ok_or_else(|| format!("a piece is of the kind {kind}"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

/// The fields of a message, in their order.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Eight)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let mut four = [0; 4];
                four.copy_from_slice(self.take(4)?);
                Value::Four(four)
            }
            kind => return Err(format!("it has a field of the unknown kind {kind}")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("it has a number that is too long".to_string())
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], String> {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= self.rest.len());
        let (taken, rest) = self.rest.split_at(bytes.ok_or("it is cut short")?);
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Piece};
    use super::pieces_of;

    #[test]
    fn pieces_are_read_and_broken_ones_refused() {
        // A piece "ab" with the score -1 and the kind 4; another without either; a field that is skipped.
        let whole = b"\x0a\x0b\x0a\x02ab\x15\x00\x00\x80\xbf\x18\x04\x0a\x03\x0a\x01c\x12\x02\x18\x01";
        let want = [("ab", -1.0, Kind::UserDefined), ("c", 0.0, Kind::Normal)]
            .map(|(text, score, kind)| Piece { text: text.to_string(), score, kind });
        assert_eq!(pieces_of(whole).unwrap(), want);
        for length in 1..whole.len() {
            if ![13, 18].contains(&length) {
                assert!(pieces_of(&whole[..length]).is_err(), "{length}");
            }
        }
        let seed = include_bytes!("../../fuzz/seeds/sentencepiece/small.model");
        assert_eq!(pieces_of(seed).unwrap().len(), 8);
        for at in 0..seed.len() {
            for value in 0..=255 {
                let mut changed = seed.to_vec();
                changed[at] = value;
                // Refused or read, without a panic.
                let _ = pieces_of(&changed);
            }
        }
        assert!(pieces_of(&[0xff; 12]).unwrap_err().contains("too long"));
        assert!(pieces_of(b"\x0a\x02\x18\x09").unwrap_err().contains("kind 9"));
        assert!(pieces_of(b"\x1a\x02\x18\x01").unwrap_err().contains("space before every text"));
    }
}
