//! One file for each way in which a header can be wrong, written byte by byte.

use super::*;
use crate::engine::weights::floats::FloatKind;
use crate::study::model::Precision;

/// A GGUF file in parts, so that a test can spoil any of them.
#[derive(Clone)]
struct File {
    magic: [u8; 4],
    version: u32,
    tensor_count: Option<u64>,
    key_count: Option<u64>,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((dims.len() as u32).to_le_bytes());
    bytes.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// Two tensors of 32 bytes and one key.
fn sound() -> File {
    File {
        magic: *b"GGUF",
        version: 3,
        tensor_count: None,
        key_count: None,
        keys: vec![key("general.name", 8, &text("small"))],
        tensors: vec![tensor("a", &[8], 0, 0), tensor("b", &[4, 2], 0, 32)],
        data: 64,
    }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(
            self.tensor_count
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        bytes.extend(
            self.key_count
                .unwrap_or(self.keys.len() as u64)
                .to_le_bytes(),
        );
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut File), place: &str, reason: &str) {
    let mut file = sound();
    change(&mut file);
    let refusal = read(&file.bytes()).unwrap_err();
    assert!(refusal.place.contains(place), "{refusal:?}");
    assert!(refusal.reason.contains(reason), "{refusal:?}");
}

#[track_caller]
fn refused_key(spoilt: Vec<u8>, place: &str, reason: &str) {
    refused(|file| file.keys.push(spoilt), place, reason);
}

#[track_caller]
fn refused_tensor(spoilt: Vec<u8>, place: &str, reason: &str) {
    refused(|file| file.tensors[1] = spoilt, place, reason);
}

#[test]
fn a_sound_file_is_read() {
    for version in [2, 3] {
        let mut file = sound();
        file.version = version;
        file.keys.push(key(
            "numbers",
            9,
            &[
                &5u32.to_le_bytes()[..],
                &2u64.to_le_bytes(),
                &7i32.to_le_bytes(),
                &(-1i32).to_le_bytes(),
            ]
            .concat(),
        ));
        let header = read(&file.bytes()).unwrap();
        assert_eq!(
            header.metadata["general.name"],
            Value::Text(Some("small".to_owned()))
        );
        assert_eq!(
            header.metadata["numbers"],
            Value::Array {
                count: 2,
                numbers: Some(vec![7.0, -1.0])
            }
        );
        let b = &header.tensors["b"];
        assert_eq!(b.dims, [2, 4]);
        assert_eq!(b.form, Form::Float(FloatKind::F32));
        assert_eq!(b.range.len(), 32);
        assert_eq!(b.range.end, file.bytes().len());
    }
}

#[test]
fn quantized_sizes_are_those_of_their_blocks() {
    let mut file = sound();
    file.tensors = vec![tensor("q", &[512, 3], 12, 0)];
    file.data = 2 * 3 * 144;
    let header = read(&file.bytes()).unwrap();
    assert_eq!(header.tensors["q"].form, Form::Quant(Precision::Q4K));
    assert_eq!(header.tensors["q"].range.len(), 864);
}

#[test]
fn header_bad_magic() {
    refused(
        |file| file.magic = *b"GGML",
        "offset 0",
        "\"GGML\" instead of \"GGUF\"",
    );
}

#[test]
fn header_versions() {
    for version in [0, 1, 4, u32::MAX] {
        refused(
            |file| file.version = version,
            "offset 4",
            &format!("version {version} is not supported"),
        );
    }
    refused(
        |file| file.version = 3u32.swap_bytes(),
        "offset 4",
        "big-endian",
    );
}

#[test]
fn header_counts() {
    refused(
        |file| file.tensor_count = Some(u64::MAX),
        "offset 8",
        "number of tensors",
    );
    refused(
        |file| file.key_count = Some(u64::MAX),
        "offset 16",
        "number of keys",
    );
    refused(
        |file| file.key_count = Some(1_000_000),
        "offset 16",
        "number of keys 1000000",
    );
    // Within the limits, but more than there are: what follows is read as something else.
    refused(|file| file.tensor_count = Some(10_000), "", "");
    refused(|file| file.key_count = Some(2_000), "", "");
    refused(|file| file.tensor_count = Some(0), "", "no tensors");
}

#[test]
fn key_sizes() {
    let mut long = u64::MAX.to_le_bytes().to_vec();
    long.extend(b"key");
    refused_key(long, "offset", "longer than 1024");
    refused_key(key("", 4, &[0; 4]), "offset", "empty key");
    let mut foreign = key("ab", 4, &[0; 4]);
    foreign[8] = 0xff;
    refused_key(foreign, "offset", "not UTF-8");
}

#[test]
fn key_bad_type() {
    refused_key(key("k", 13, &[0; 8]), "key k", "unknown type of value 13");
    refused_key(key("k", 7, &[2]), "key k", "2 is no truth value");
    let array = [&77u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    refused_key(key("k", 9, &array), "key k", "unknown type of value 77");
}

#[test]
fn key_duplicate() {
    refused_key(
        key("general.name", 4, &[0; 4]),
        "key general.name",
        "stands twice",
    );
}

#[test]
fn alignment() {
    const KEY: &str = "general.alignment";
    for wrong in [0u32, 1, 4, 13, 48] {
        let reason = format!("{wrong} is not a power of two from 8 on");
        refused_key(key(KEY, 4, &wrong.to_le_bytes()), KEY, &reason);
    }
    refused_key(key(KEY, 8, &text("32")), KEY, "not an integer");
    refused_key(key(KEY, 6, &32f32.to_le_bytes()), KEY, "not an integer");
    refused_key(
        key(KEY, 4, &0x8000_0000u32.to_le_bytes()),
        "tensor b",
        "not a multiple",
    );
}

#[test]
fn tensor_names() {
    refused_tensor(
        tensor(&"n".repeat(65), &[8], 0, 32),
        "offset",
        "65 bytes is longer than 64",
    );
    refused_tensor(tensor("", &[8], 0, 32), "offset", "empty");
    refused_tensor(tensor("a", &[8], 0, 32), "tensor a", "stands twice");
}

#[test]
fn tensor_dimensions() {
    refused_tensor(tensor("t", &[], 0, 32), "tensor t", "0 dimensions");
    refused_tensor(tensor("t", &[1; 5], 0, 32), "tensor t", "5 dimensions");
    refused_tensor(tensor("t", &[4, 0], 0, 32), "tensor t", "dimension 0");
    refused_tensor(
        tensor("t", &[1 << 63], 0, 32),
        "tensor t",
        "dimension 9223372036854775808",
    );
}

#[test]
fn tensor_sizes() {
    refused_tensor(
        tensor("t", &[1 << 40, 1 << 40], 0, 32),
        "tensor t",
        "more bytes than can be counted",
    );
    refused_tensor(
        tensor("t", &[1 << 62], 0, 32),
        "tensor t",
        "more bytes than can be counted",
    );
    refused_tensor(
        tensor("t", &[1 << 32, 1 << 31, 2, 2], 0, 32),
        "tensor t",
        "more bytes",
    );
    refused_tensor(
        tensor("t", &[1 << 60], 0, 32),
        "tensor t",
        "reach beyond the file",
    );
}

#[test]
fn tensor_types() {
    refused_tensor(tensor("t", &[8], 4, 32), "tensor t", "unknown type 4");
    refused_tensor(
        tensor("t", &[8], u32::MAX, 32),
        "tensor t",
        "unknown type 4294967295",
    );
    refused_tensor(
        tensor("t", &[256], 23, 32),
        "tensor t",
        "type IQ4_XS is not supported",
    );
    refused_tensor(
        tensor("t", &[24], 2, 32),
        "tensor t",
        "rows of 24 elements are not whole blocks of 32",
    );
}

#[test]
fn tensor_offsets() {
    refused_tensor(
        tensor("t", &[4], 0, 33),
        "tensor t",
        "offset 33 is not a multiple",
    );
    refused_tensor(
        tensor("t", &[8], 0, 64),
        "tensor t",
        "reach beyond the file",
    );
    refused_tensor(
        tensor("t", &[8], 0, u64::MAX - 31),
        "tensor t",
        "reach beyond the file",
    );
    // Inconsistent: into the bytes of another one, or the same bytes twice.
    refused_tensor(tensor("t", &[8], 0, 0), "tensor", "overlaps tensor");
    refused(
        |file| file.tensors[0] = tensor("a", &[9], 0, 0),
        "tensor b",
        "overlaps tensor a",
    );
}

#[test]
fn data_short() {
    refused(|file| file.data = 63, "tensor b", "reach beyond the file");
    refused(|file| file.data = 0, "tensor", "reach beyond the file");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = sound().bytes();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn arrays_are_bounded_by_the_file() {
    let array = |kind: u32, count: u64| {
        key(
            "k",
            9,
            &[&kind.to_le_bytes()[..], &count.to_le_bytes()].concat(),
        )
    };
    refused_key(
        array(4, u64::MAX),
        "key k",
        "array of 18446744073709551615 elements",
    );
    refused_key(array(10, 1 << 61), "key k", "bytes are left");
    refused_key(array(8, u64::MAX), "key k", "");
    refused_key(
        key("k", 8, &u64::MAX.to_le_bytes()),
        "key k",
        "bytes are declared",
    );
}

#[test]
fn nested_arrays_are_refused_at_the_first_level() {
    let level = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    refused_key(key("k", 9, &level.repeat(65)), "key k", "arrays of arrays");
}

proptest::proptest! {
    /// Whatever the bytes, the header is read or refused, and what it gives lies within the file.
    #[test]
    fn spoilt_bytes_never_lead_outside(spoils in proptest::collection::vec((0usize..220, 0u8..), 1..6)) {
        let mut bytes = sound().bytes();
        for (at, value) in spoils {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(header) = read(&bytes) {
            for tensor in header.tensors.values() {
                proptest::prop_assert!(tensor.range.end <= bytes.len());
                proptest::prop_assert!(bytes.get(tensor.range.clone()).is_some());
            }
        }
    }
}
