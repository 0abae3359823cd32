//! The numbers of a block, read without a general parser.
//!
//! Nearly all of a file is arrays of integers that this program wrote itself, without spaces and with
//! keys in one order. Reading exactly that form by hand takes half the time; everything that is
//! written in any other way is left to serde.

use crate::record::observation::{Block, Generation};
use crate::record::steps::Steps;
use crate::units::Nanos;

/// Where the numbers begin.
const KEY: &[u8] = b"\"generations\":[";

/// Every number of that many digits fits 64 bits.
const MOST_DIGITS: usize = 19;

/// Reads a block whose generations are written the way this program writes them; `None` for any other.
pub(super) fn block(line: &[u8]) -> Option<Block> {
    let begin = line.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let mut cursor = Cursor {
        rest: &line[begin..],
    };
    let generations = cursor.generations()?;
    let mut outline = Vec::with_capacity(begin + cursor.rest.len());
    outline.extend_from_slice(&line[..begin]);
    outline.extend_from_slice(cursor.rest);
    let block: Block = serde_json::from_slice(&outline).ok()?;
    Some(Block {
        generations,
        ..block
    })
}

/// What is still to be read.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    /// Generations up to the bracket that ends them, which stays.
    fn generations(&mut self) -> Option<Vec<Generation>> {
        let all = self.rest.len();
        let first = self.generation(0)?;
        let (steps, length) = (first.steps_ns.len(), all - self.rest.len());
        // The others are about as long.
        let mut generations = Vec::with_capacity(all / length);
        generations.push(first);
        while self.rest.first() != Some(&b']') {
            self.skip(b",")?;
            generations.push(self.generation(steps)?);
        }
        Some(generations)
    }

    fn generation(&mut self, steps: usize) -> Option<Generation> {
        self.skip(b"{\"t0_ns\":")?;
        let t0_ns = self.number()?;
        self.skip(b",\"steps_ns\":[")?;
        let mut steps_ns = Steps::with_capacity(steps);
        loop {
            steps_ns.push(self.number()?);
            if self.skip(b",").is_none() {
                break;
            }
        }
        self.skip(b"],\"tail_ns\":")?;
        let tail_ns = self.number()?;
        let device_ns = match self.skip(b",\"device_ns\":") {
            Some(()) => Some(self.number()?),
            None => None,
        };
        self.skip(b"}")?;
        Some(Generation {
            t0_ns,
            steps_ns,
            tail_ns,
            device_ns,
        })
    }

    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// An integer as JSON allows it: digits, without a zero in front of others, and few enough for 64
    /// bits whatever they are.
    fn number(&mut self) -> Option<Nanos> {
        let (mut value, mut count) = self
            .rest
            .first_chunk()
            .map_or((0, 0), |eight| digits(*eight));
        while let Some(digit) = self.rest.get(count).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        if count == 0 || count > MOST_DIGITS || (count > 1 && self.rest[0] == b'0') {
            return None;
        }
        self.rest = &self.rest[count..];
        Some(Nanos::new(value))
    }
}

/// The digits that eight bytes begin with: their value and how many they are. All eight are looked at in one
/// word, in which neighbours are then joined to numbers of two, four and eight digits.
fn digits(bytes: [u8; 8]) -> (u64, usize) {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const SIXES: u64 = u64::from_ne_bytes([6; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    let values = u64::from_le_bytes(bytes) ^ ZEROS;
    // A byte above nine has a high nibble now, or gets one by six more.
    let others = (values | (values & !HIGH).wrapping_add(SIXES)) & HIGH;
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // What does not belong goes, and zeros come before the digits.
    let values = values << (64 - 8 * count);
    let twos = (values.wrapping_mul(10) + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (eight, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample;
    use super::*;

    fn generation() -> impl Strategy<Value = Generation> {
        // Up to 19 digits; one more is left to serde.
        let nanos = || (1..=19_u32).prop_flat_map(|digits| 0..10_u64.pow(digits));
        let nanos = || nanos().prop_map(Nanos::new);
        let steps = prop::collection::vec(nanos(), 1..5);
        let steps = steps.prop_map(|steps| steps.into_iter().collect());
        (nanos(), steps, nanos(), prop::option::of(nanos())).prop_map(
            |(t0_ns, steps_ns, tail_ns, device_ns)| Generation {
                t0_ns,
                steps_ns,
                tail_ns,
                device_ns,
            },
        )
    }

    proptest! {
        #[test]
        fn digits_are_those_that_eight_bytes_begin_with(
            bytes in prop::array::uniform8(prop_oneof![9 => b'0'..=b'9', 1 => any::<u8>()])
        ) {
            let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let text = std::str::from_utf8(&bytes[..count]).unwrap();
            prop_assert_eq!(digits(bytes), (text.parse().unwrap_or(0), count));
        }

        #[test]
        fn every_block_reads_as_serde_reads_it(
            generations in prop::collection::vec(generation(), 1..4)
        ) {
            let expected = Block { generations, ..sample::block(0, 0) };
            let line = serde_json::to_string(&expected).unwrap();
            prop_assert_eq!(block(line.as_bytes()), Some(expected));
        }

        /// Where a line was changed, this way of reading says nothing or the same as serde.
        #[test]
        fn a_changed_line_is_never_read_differently(at in 0usize..2_000, byte in any::<u8>()) {
            let mut original = sample::block(0, 0);
            original.generations.truncate(1);
            let mut line = serde_json::to_vec(&original).unwrap();
            let at = at % line.len();
            line[at] = byte;
            if let Some(read) = block(&line) {
                prop_assert_eq!(serde_json::from_slice::<Block>(&line).ok(), Some(read));
            }
        }
    }

    #[test]
    fn another_way_of_writing_is_left_to_serde() {
        let line = serde_json::to_string(&sample::block(0, 0)).unwrap();
        assert!(block(line.as_bytes()).is_some());
        for (from, to) in [
            ("[1000000,", "[ 1000000,"),
            ("[1000000,", "[01000000,"),
            ("[1000000,", "[1e6,"),
            ("[1000000,", "[99999999999999999999,"),
            ("[1000000,", "[18446744073709551615,"),
            ("\"tail_ns\":100}", "\"tail_ns\":100,\"x\":1}"),
        ] {
            assert!(line.contains(from));
            assert_eq!(block(line.replace(from, to).as_bytes()), None, "{to}");
        }
    }
}
