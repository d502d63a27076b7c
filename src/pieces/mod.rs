//! A SentencePiece tokenizer (BPE) as model files carry it: a list of pieces with scores, in a model file of the library's
//! own format or in the metadata of a GGUF file.

mod model_file;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

pub use model_file::pieces_of;

/// What stands for a space in pieces.
const SPACE: char = '\u{2581}';
/// Token numbers are written as i32; Gemma has 262144.
const MOST: usize = 1 << 24;

/// What a piece is for; the numbers are those of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    /// The kind of this number.
    pub fn of(number: i128) -> Option<Kind> {
        const ALL: [Kind; 6] =
            [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
        ALL.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }
}

/// A piece; its place in the list is its token number.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: Kind,
}

/// The pieces of a tokenizer, ready to split texts.
#[derive(Debug)]
pub struct Pieces {
    /// Token number and score of the pieces that text is put together from.
    joined: HashMap<String, (u32, f32)>,
    /// Pieces that are found literally before anything else, by their first character; the longest first.
    literal: HashMap<char, Vec<(String, u32)>>,
    /// Token numbers of the 256 bytes, as far as there are pieces for them.
    bytes: Vec<Option<u32>>,
    unknown: u32,
    /// Pieces that are no text.
    silent: BTreeSet<u32>,
    count: u32,
    all: HashMap<String, u32>,
}

impl Pieces {
    /// # Errors
    /// What is wrong with the list, in words.
    pub fn new(pieces: Vec<Piece>) -> Result<Pieces, String> {
        if pieces.is_empty() || pieces.len() > MOST {
            return Err(format!("it has {} pieces", pieces.len()));
        }
        let mut made = Pieces {
            joined: HashMap::new(),
            literal: HashMap::new(),
            bytes: vec![None; 256],
            unknown: 0,
            silent: BTreeSet::new(),
            count: pieces.len() as u32,
            all: HashMap::new(),
        };
        for (id, Piece { text, score, kind }) in pieces.into_iter().enumerate() {
            let id = id as u32;
            if !score.is_finite() {
                return Err(format!("the piece {text:?} has the score {score}"));
            }
            if matches!(kind, Kind::Unknown | Kind::Control) {
                made.silent.insert(id);
            }
            match kind {
                Kind::Unknown => made.unknown = id,
                Kind::Control | Kind::UserDefined => {
                    if let Some(first) = text.chars().next() {
                        made.literal.entry(first).or_default().push((text.clone(), id));
                    }
                }
                Kind::Byte => {
                    let byte = text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>'));
                    let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    let byte = byte.ok_or_else(|| format!("the piece {text:?} is called a byte"))?;
                    made.bytes[byte as usize] = Some(id);
                }
                Kind::Normal | Kind::Unused => {}
            }
            if matches!(kind, Kind::Normal | Kind::Unknown | Kind::UserDefined) {
                made.joined.entry(text.clone()).or_insert((id, score));
            }
            made.all.entry(text).or_insert(id);
        }
        made.literal.values_mut().for_each(|list| list.sort_by_key(|(text, _)| Reverse(text.len())));
        Ok(made)
    }

    /// The token number of a piece.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.all.get(text).copied()
    }

    /// The largest token number.
    pub fn largest_id(&self) -> u32 {
        self.count - 1
    }

    /// How tokens are spelled; those that are no text are left out.
    pub fn spelled(&self) -> HashMap<u32, &str> {
        let texts = self.all.iter().filter(|(_, id)| !self.silent.contains(id));
        texts.map(|(text, id)| (*id, text.as_str())).collect()
    }

    /// The tokens of a text. Pieces that stand for themselves are split out first, the longest at each place; what is
    /// between them is put together from characters.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(first) = text[at..].chars().next() {
            let literal = self
                .literal
                .get(&first)
                .and_then(|list| list.iter().find(|(literal, _)| text[at..].starts_with(literal.as_str())));
            match literal {
                Some((literal, id)) => {
                    self.join(&text[from..at], &mut ids);
                    ids.push(*id);
                    at += literal.len();
                    from = at;
                }
                None => at += first.len_utf8(),
            }
        }
        self.join(&text[from..], &mut ids);
        ids
    }

    /// Puts a text together: of all neighbours that make a piece, those with the highest score first, the leftmost of
    /// equal ones.
    fn join(&self, text: &str, ids: &mut Vec<u32>) {
        let text: String = text.chars().map(|c| if c == ' ' { SPACE } else { c }).collect();
        // Each symbol is a range of the text; one that was joined to its left neighbour is empty.
        let mut ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        let starts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
        let count = ends.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|i| i.wrapping_sub(1)).collect();
        let mut live = vec![true; count];
        let mut heap = BinaryHeap::new();
        let pair = |left: usize, right: usize, ends: &[usize]| {
            let joined = text.get(starts[left]..*ends.get(right)?)?;
            let (_, score) = self.joined.get(joined)?;
            Some((Score(*score), Reverse(left), right, ends[right]))
        };
        (1..count).for_each(|right| heap.extend(pair(right - 1, right, &ends)));
        while let Some((_, Reverse(left), right, end)) = heap.pop() {
            let current = live[left] && live[right] && next[left] == right && ends[right] == end;
            if !current || starts[left] == ends[left] {
                continue;
            }
            ends[left] = end;
            live[right] = false;
            next[left] = next[right];
            if next[left] < count {
                before[next[left]] = left;
                heap.extend(pair(left, next[left], &ends));
            }
            if before[left] < count {
                heap.extend(pair(before[left], left, &ends));
            }
        }
        for symbol in (0..count).filter(|symbol| live[*symbol]) {
            let piece = &text[starts[symbol]..ends[symbol]];
            match self.joined.get(piece) {
                Some((id, _)) => ids.push(*id),
                None => {
                    let byte = |byte: u8| self.bytes[byte as usize].unwrap_or(self.unknown);
                    ids.extend(piece.bytes().map(byte));
                }
            }
        }
    }
}

/// Finite numbers in their order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Piece, Pieces};

    fn pieces(list: &[(&str, f32, Kind)]) -> Pieces {
        let piece = |(text, score, kind): &(&str, f32, Kind)| Piece {
            text: (*text).to_string(),
            score: *score,
            kind: *kind,
        };
        Pieces::new(list.iter().map(piece).collect()).unwrap()
    }

    #[test]
    fn neighbours_with_the_highest_score_are_joined_first() {
        use Kind::{Byte, Control, Normal, Unknown, Unused, UserDefined};
        let made = pieces(&[
            ("<unk>", 0.0, Unknown),
            ("a", -9.0, Normal),
            ("b", -9.0, Normal),
            ("ab", -2.0, Normal),
            ("ba", -1.0, Normal),
            ("abab", -3.0, Normal),
            ("\u{2581}", -9.0, Normal),
            ("\u{2581}a", -4.0, Normal),
            ("<end>", 0.0, Control),
            ("<end>>", 0.0, UserDefined),
            ("<0xC3>", 0.0, Byte),
            ("<0xA9>", 0.0, Byte),
            ("bb", -0.5, Unused),
        ]);
        assert_eq!(made.encode("ab"), [3]);
        // "ba" first; then nothing joins with its neighbours.
        assert_eq!(made.encode("abab"), [1, 4, 2]);
        assert_eq!(made.encode("aab"), [1, 3]);
        assert_eq!(made.encode("a a"), [1, 7]);
        assert_eq!(made.encode("b b"), [2, 6, 2]);
        assert_eq!(made.encode("a<end>b<end>>"), [1, 8, 2, 9]);
        assert_eq!(made.encode("é"), [10, 11], "bytes of what has no piece");
        assert_eq!(made.encode("\u{20ac}"), [0, 0, 0], "not even bytes");
        assert_eq!(made.encode("bb"), [2, 2], "unused pieces are not made");
        assert_eq!(made.encode(""), [0u32; 0]);
        let spelled = made.spelled();
        assert_eq!(
            [0, 6, 8, 10].map(|id| spelled.get(&id).copied()),
            [None, Some("\u{2581}"), None, Some("<0xC3>")]
        );
        assert_eq!((made.id("ba"), made.id("<end>"), made.largest_id()), (Some(4), Some(8), 12));
    }

    #[test]
    fn lists_that_cannot_be_are_refused() {
        assert!(Pieces::new(Vec::new()).is_err());
        let one = |text: &str, score, kind| Pieces::new(vec![Piece { text: text.to_string(), score, kind }]);
        assert!(one("a", f32::NAN, Kind::Normal).unwrap_err().contains("score"));
        assert!(one("<0xZZ>", 0.0, Kind::Byte).unwrap_err().contains("called a byte"));
        assert_eq!(Kind::of(0), None);
        assert_eq!(Kind::of(7), None);
        assert_eq!(Kind::of(6), Some(Kind::Byte));
    }
}
