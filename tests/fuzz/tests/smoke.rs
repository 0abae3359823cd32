//! Every target on its committed inputs and on spoilt copies of them: seconds, the same every time.

use std::path::Path;

use mtok_fuzz::{TARGETS, timed};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Spoilt copies per target.
const COPIES: u32 = 2_000;

/// Numbers at which arithmetic breaks.
const CORNERS: [u64; 8] = [
    0,
    1,
    u8::MAX as u64,
    i32::MAX as u64,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX - 7,
    u64::MAX,
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// One to four changes: a bit, a byte, a number, a cut, or a piece of the text once more.
fn spoil(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let number = CORNERS[random.random_range(0..CORNERS.len())].to_le_bytes();
                let end = bytes.len().min(at + number.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => bytes.truncate(at),
            _ => {
                let end = bytes.len().min(at + random.random_range(1..64));
                let piece = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn every_target_reads_its_inputs_and_survives_spoilt_ones() {
    for target in &TARGETS {
        let inputs = corpus(target.name);
        assert!(
            inputs.iter().filter(|input| timed(target, input)).count() > 0,
            "{}: no input is accepted, so only the first checks are reached",
            target.name
        );
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut refused = 0;
        for _ in 0..COPIES {
            let mut input = inputs[random.random_range(0..inputs.len())].clone();
            spoil(&mut input, &mut random);
            refused += u32::from(!timed(target, &input));
        }
        assert!(
            refused > 0,
            "{}: every spoilt input was accepted",
            target.name
        );
    }
}
