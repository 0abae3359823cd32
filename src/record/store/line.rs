//! One line of the file: a record and its place in the chain.

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::generations;
use crate::record::observation::{Record, Session};

/// `prev` of the first line.
pub(super) const NOTHING_BEFORE: &str = "0000000000000000";

/// Hexadecimal digits of the SHA-256 that the next line carries.
const FINGERPRINT_DIGITS: usize = 16;

/// How every line begins.
const START: &[u8] = b"{\"seq\":";

/// What comes before the sum of a line, which is its last field.
const SUM: &str = ",\"sum\":\"";

/// What closes the sum and the line.
const SUM_END: &str = "\"}";

/// Where a line stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    /// Number of the record, from 0.
    pub(super) seq: u64,
    /// Fingerprint of the line before.
    pub(super) prev: String,
    /// Length of the torn lines between that one and this one.
    pub(super) skipped_bytes: Option<u64>,
    /// What the record is.
    #[serde(rename = "type")]
    kind: Kind,
}

/// The variants of [`Record`] by their word in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Session,
    Device,
    Peak,
    Load,
    Block,
    Failure,
    Skip,
    Scoring,
    Window,
    Unscored,
    End,
}

/// The part of a session that tells whether the rest can be understood.
#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

/// A line that could not be understood.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is a session of this newer schema.
    Newer(u32),
    /// It is not a record.
    NotARecord(String),
    /// It is no whole value, as what is on the disk after the machine died may be.
    Damaged(String),
    /// It is the beginning of one, as a crash leaves it.
    Beginning(String),
}

/// The start of the SHA-256 of a line without its line end.
pub(super) fn fingerprint(line: &[u8]) -> String {
    digits(Sha256::new_with_prefix(line))
}

/// The fingerprint of a line, and the sum at its end: the fingerprint of the same line without it, `None`
/// for a line of an older program, which has none. What the two have in common is hashed once.
pub(super) fn seals(line: &[u8]) -> (String, Option<Sum>) {
    let Some((body, stated)) = split_at_sum(line) else {
        return (fingerprint(line), None);
    };
    let shared = Sha256::new_with_prefix(body);
    let sum = Sum {
        stated: String::from_utf8_lossy(stated).into_owned(),
        actual: digits(shared.clone().chain_update(b"}")),
    };
    (digits(shared.chain_update(&line[body.len()..])), Some(sum))
}

/// What a line holds before its sum, and the sum that it states.
fn split_at_sum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(SUM_END.as_bytes())?;
    let (rest, stated) = rest.split_at_checked(rest.len().checked_sub(FINGERPRINT_DIGITS)?)?;
    Some((rest.strip_suffix(SUM.as_bytes())?, stated))
}

fn digits(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..FINGERPRINT_DIGITS / 2])
}

/// What a line says of itself.
#[derive(Debug)]
pub(super) struct Sum {
    /// The sum that it states.
    pub(super) stated: String,
    /// The sum of what it holds.
    pub(super) actual: String,
}

/// The line of a record, without its line end.
///
/// Records are serialized with their `type` first, so the place goes between it and the opening brace;
/// serde's `flatten` would do the same at the price of a copy of every number. The sum at the end is for
/// the last line of a file, which no other vouches for.
pub(super) fn render(
    seq: u64,
    prev: &str,
    skipped_bytes: Option<u64>,
    record: &Record,
) -> Result<String, serde_json::Error> {
    let body = serde_json::to_string(record)?;
    let skipped = skipped_bytes.map_or(String::new(), |n| format!("\"skipped_bytes\":{n},"));
    let fields = body.strip_prefix('{').unwrap_or(&body);
    let mut line = format!("{{\"seq\":{seq},\"prev\":\"{prev}\",{skipped}{fields}");
    let sum = fingerprint(line.as_bytes());
    line.pop();
    line.push_str(SUM);
    line.push_str(&sum);
    line.push_str(SUM_END);
    Ok(line)
}

/// Reads the place from the start of a line and the record from all of it.
///
/// The place is a few dozen bytes and ends with the type; only then is the line read as what it is.
/// Letting serde choose the variant would buffer every number of a block first.
pub(super) fn parse(line: &[u8]) -> Result<(Place, Record), Unreadable> {
    understand(line).map_err(|unreadable| match unreadable {
        Unreadable::NotARecord(reason) => no_record(line, reason),
        Unreadable::Newer(_) | Unreadable::Damaged(_) | Unreadable::Beginning(_) => unreadable,
    })
}

/// What a line is that is no record.
fn no_record(line: &[u8], reason: String) -> Unreadable {
    let mut values = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Err(error)) if error.is_eof() && is_cut_short(line) => Unreadable::Beginning(reason),
        Some(Err(_)) | None => Unreadable::Damaged(reason),
        Some(Ok(_)) => Unreadable::NotARecord(reason),
    }
}

/// Whether something that is no whole value begins as a line does and ends within its sum or before it, so
/// that nothing but what follows there is missing.
fn is_cut_short(line: &[u8]) -> bool {
    let beginning = line.len().min(START.len());
    if line[..beginning] != START[..beginning] {
        return false;
    }
    let mut starts = line.windows(SUM.len());
    let Some(sum) = starts.rposition(|window| window == SUM.as_bytes()) else {
        return true;
    };
    let stated = &line[sum + SUM.len()..];
    let close = stated.get(FINGERPRINT_DIGITS..).unwrap_or(&[]);
    close.len() < SUM_END.len() && SUM_END.as_bytes().starts_with(close)
}

fn understand(line: &[u8]) -> Result<(Place, Record), Unreadable> {
    const TYPE: &[u8] = b"\"type\":\"";
    let not_a_record = || Unreadable::NotARecord("not a record".to_owned());
    let word = line
        .windows(TYPE.len())
        .position(|window| window == TYPE)
        .map(|at| at + TYPE.len())
        .ok_or_else(not_a_record)?;
    let end = line[word..]
        .iter()
        .position(|byte| *byte == b'"')
        .map(|at| word + at + 1)
        .ok_or_else(not_a_record)?;
    let mut head = line[..end].to_vec();
    head.push(b'}');
    let place: Place = serde_json::from_slice(&head).map_err(|error| unreadable(&error))?;
    let record = record(place.kind, line)?;
    Ok((place, record))
}

fn record(kind: Kind, line: &[u8]) -> Result<Record, Unreadable> {
    match kind {
        Kind::Session => {
            let Versioned { schema } = read(line)?;
            if schema > crate::record::schema::VERSION {
                return Err(Unreadable::Newer(schema));
            }
            let session: Box<Session> = Box::new(read(line)?);
            // The points of a sweep are as many as the product of its lists.
            if session.study.sweep.is_too_large() {
                let reason = "its sweep has more points than a study may have";
                return Err(Unreadable::NotARecord(reason.to_owned()));
            }
            Ok(Record::Session(session))
        }
        Kind::Device => Ok(Record::Device(Box::new(read(line)?))),
        Kind::Peak => Ok(Record::Peak(read(line)?)),
        Kind::Load => Ok(Record::Load(Box::new(read(line)?))),
        Kind::Block => {
            let block = generations::block(line).map_or_else(|| read(line), Ok)?;
            Ok(Record::Block(Box::new(block)))
        }
        Kind::Failure => Ok(Record::Failure(read(line)?)),
        Kind::Skip => Ok(Record::Skip(read(line)?)),
        Kind::Scoring => Ok(Record::Scoring(Box::new(read(line)?))),
        Kind::Window => Ok(Record::Window(Box::new(read(line)?))),
        Kind::Unscored => Ok(Record::Unscored(read(line)?)),
        Kind::End => Ok(Record::End(read(line)?)),
    }
}

fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(line).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Unreadable {
    Unreadable::NotARecord(error.to_string())
}
