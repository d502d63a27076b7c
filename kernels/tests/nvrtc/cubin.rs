//! What a cubin says of its kernel's parameters.
//!
//! A cubin is an ELF file. Its section `.nv.info.<symbol>` is a list of attributes: a byte that says how the value is
//! stored, the attribute's number, and two bytes that are the value (or nothing), or, for format 4, the number of bytes
//! that follow.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

/// A value behind its size.
const SIZED: u8 = 0x04;

/// EIATTR_PARAM_CBANK: a symbol (u32), and of the bank of constants where parameters begin and how many bytes of them
/// there are (u16 each).
const BANK: u8 = 0x0A;

/// EIATTR_KPARAM_INFO: an index that has no use (u32), a parameter's number and offset (u16 each), and a word with its
/// size in the bits from 18 on, its alignment and bank below them.
const PARAMETER: u8 = 0x17;
const SIZE_SHIFT: u32 = 18;

/// EIATTR_KPARAM_INFO_V2, where parameters have more than 4 KiB: the same, but the word is the size.
const LARGE_PARAMETER: u8 = 0x45;

/// Where a parameter lies in a kernel's parameters.
#[derive(Debug, PartialEq, Eq)]
struct Parameter {
    number: u16,
    offset: usize,
    bytes: usize,
}

/// All parameters, and where they begin in their bank.
#[derive(Debug, Default)]
struct Layout {
    begin: usize,
    parameters: Vec<Parameter>,
}

/// What is wrong with the parameters of a kernel whose launches hand it one argument of `bytes` bytes, aligned to
/// `alignment`.
pub fn complaint(cubin: &[u8], symbol: &str, bytes: usize, alignment: usize) -> Option<String> {
    let layout = match layout(cubin, symbol) {
        Ok(layout) => layout,
        Err(e) => return Some(format!("does not say what its parameters are: {e}")),
    };
    // Alignment counts from the beginning of the bank.
    let offset = layout.begin.next_multiple_of(alignment) - layout.begin;
    let right = layout.parameters == [Parameter { number: 0, offset, bytes }];
    (!right).then(|| format!("has other parameters than one of {bytes} bytes at {offset}: {layout:?}"))
}

fn layout(cubin: &[u8], symbol: &str) -> Result<Layout, String> {
    let file: ElfFile64<'_> = ElfFile64::parse(cubin).map_err(|e| e.to_string())?;
    let name = format!(".nv.info.{symbol}");
    let section = file.section_by_name(&name).ok_or_else(|| format!("no section {name}"))?;
    let mut rest = section.data().map_err(|e| e.to_string())?;
    let mut layout = Layout::default();
    while let [format, attribute, low, high, behind @ ..] = rest {
        let bytes = if *format == SIZED { usize::from(u16::from_le_bytes([*low, *high])) } else { 0 };
        let value = behind.get(..bytes).ok_or_else(|| format!("{name} ends inside an attribute"))?;
        let short = || format!("{name}: attribute {attribute:#x} of {bytes} bytes");
        match (*format, *attribute) {
            (SIZED, BANK) => layout.begin = half(value, 4).ok_or_else(short)?.into(),
            (SIZED, PARAMETER | LARGE_PARAMETER) => {
                let shift = if *attribute == PARAMETER { SIZE_SHIFT } else { 0 };
                layout.parameters.push(parameter(value, shift).ok_or_else(short)?);
            }
            _ => {}
        }
        rest = &behind[bytes..];
    }
    Ok(layout)
}

fn half(value: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(value.get(at..at + 2)?.try_into().ok()?))
}

fn parameter(value: &[u8], shift: u32) -> Option<Parameter> {
    let size = u32::from_le_bytes(value.get(8..12)?.try_into().ok()?);
    Some(Parameter {
        number: half(value, 4)?,
        offset: half(value, 6)?.into(),
        bytes: (size >> shift) as usize,
    })
}
