//! A GGUF file in parts, so that a test can spoil any of them.

/// A sound file of the Llama architecture with one layer, hidden 32 and four tokens.
#[derive(Clone)]
pub(crate) struct GgufFile {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) key_count: Option<u64>,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) alignment: u64,
    /// Bytes of data; those of the tensors when not given.
    pub(crate) data: Option<u64>,
}

/// A tensor as the header describes it; the offset follows from the one before when not given.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: Vec<u8>,
    pub(crate) dims: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) offset: Option<u64>,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A key with a value of this type id.
pub(crate) fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name)[..], &kind.to_le_bytes(), value].concat()
}

/// An array of this type id and count, followed by its elements.
pub(crate) fn array(kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat()
}

pub(crate) fn tensor(name: &str, dims: &[u64]) -> Tensor {
    Tensor {
        name: name.as_bytes().to_vec(),
        dims: dims.to_vec(),
        kind: 0,
        offset: None,
    }
}

impl GgufFile {
    pub(crate) fn sound() -> Self {
        let integer =
            |name: &str, value: u32| key(&format!("llama.{name}"), 4, &value.to_le_bytes());
        let float = |name: &str, value: f32| key(&format!("llama.{name}"), 6, &value.to_le_bytes());
        let layer = |part: &str, dims: &[u64]| tensor(&format!("blk.0.{part}.weight"), dims);
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            keys: vec![
                key("general.architecture", 8, &text("llama")),
                integer("block_count", 1),
                integer("embedding_length", 32),
                integer("feed_forward_length", 32),
                integer("attention.head_count", 2),
                integer("attention.head_count_kv", 1),
                integer("context_length", 64),
                float("attention.layer_norm_rms_epsilon", 1e-5),
            ],
            tensors: vec![
                tensor("token_embd.weight", &[32, 4]),
                layer("attn_norm", &[32]),
                layer("attn_q", &[32, 32]),
                layer("attn_k", &[32, 16]),
                layer("attn_v", &[32, 16]),
                layer("attn_output", &[32, 32]),
                layer("ffn_norm", &[32]),
                layer("ffn_gate", &[32, 32]),
                layer("ffn_up", &[32, 32]),
                layer("ffn_down", &[32, 32]),
                tensor("output_norm.weight", &[32]),
            ],
            alignment: 32,
            data: None,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
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
        let mut end = 0;
        for tensor in &self.tensors {
            let offset = tensor.offset.unwrap_or(end);
            bytes.extend((tensor.name.len() as u64).to_le_bytes());
            bytes.extend(&tensor.name);
            bytes.extend((tensor.dims.len() as u32).to_le_bytes());
            bytes.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            if tensor.offset.is_none() {
                let size = tensor.dims.iter().product::<u64>() * 4;
                end = (offset + size).next_multiple_of(self.alignment);
            }
        }
        let head = (bytes.len() as u64).next_multiple_of(self.alignment);
        bytes.resize((head + self.data.unwrap_or(end)) as usize, 0);
        bytes
    }
}
