//! The weights of a model tensor by tensor: how each is held and how many bytes that takes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Subject, effective};
use crate::study::model::{Dims, Numbers, Part, Precision, Shape, Slot, WeightSize};
use crate::study::spec::Target;

/// What a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The input embedding, which may be the output head too.
    Embedding,
    /// Projections of attention with their biases.
    Attention,
    /// The feed-forward block.
    Ffn,
    /// Every norm.
    Norms,
    /// The output head.
    OutputHead,
    /// What a file holds beside that.
    Other,
}

impl Group {
    /// Every group, in the order of a forward pass.
    pub const ALL: [Self; 6] = [
        Self::Embedding,
        Self::Attention,
        Self::Ffn,
        Self::Norms,
        Self::OutputHead,
        Self::Other,
    ];

    /// The group in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::Ffn => "ffn",
            Self::Norms => "norms",
            Self::OutputHead => "output head",
            Self::Other => "other",
        }
    }

    const fn of(slot: Slot) -> Self {
        match slot {
            Slot::Embedding => Self::Embedding,
            Slot::Head => Self::OutputHead,
            Slot::Norm => Self::Norms,
            Slot::Layer(_, part) => match part {
                Part::AttentionNorm | Part::FfnNorm | Part::QueryNorm | Part::KeyNorm => {
                    Self::Norms
                }
                Part::Query
                | Part::Key
                | Part::Value
                | Part::QueryBias
                | Part::KeyBias
                | Part::ValueBias
                | Part::Output => Self::Attention,
                Part::Gate | Part::Up | Part::Down => Self::Ffn,
            },
        }
    }
}

/// One tensor on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorMemory {
    /// Its name in a GGUF file.
    pub name: String,
    /// What it belongs to.
    pub group: Group,
    /// How it is held, in GGML's words.
    #[serde(rename = "type")]
    pub held: Precision,
    /// Its bytes.
    pub bytes: u64,
}

/// The tensors of a model at a precision: those of the file where it fixes them.
pub fn tensors(subject: Subject<'_>, target: Target, precision: Precision) -> Vec<TensorMemory> {
    if subject.file_bytes.is_some() {
        return subject.file_tensors.to_vec();
    }
    let precision = effective(subject, target, precision);
    let slots = Slot::all(subject.shape).into_iter();
    let tensor = |slot: Slot| {
        let (held, bytes) = placed(slot, subject.shape, (precision, target));
        TensorMemory {
            name: slot.gguf_name(),
            group: Group::of(slot),
            held,
            bytes,
        }
    };
    slots.map(tensor).collect()
}

/// A tensor of a file, which says how it is held.
pub fn in_file(name: &str, shape: &Shape, (held, bytes): (Precision, u64)) -> TensorMemory {
    let slot = Slot::all(shape)
        .into_iter()
        .find(|slot| slot.gguf_name() == name);
    TensorMemory {
        name: name.to_owned(),
        group: slot.map_or(Group::Other, Group::of),
        held,
        bytes,
    }
}

/// Bytes of each group that has any.
pub fn by_group(tensors: &[TensorMemory]) -> BTreeMap<Group, u64> {
    let mut groups = BTreeMap::new();
    for tensor in tensors {
        *groups.entry(tensor.group).or_default() += tensor.bytes;
    }
    groups
}

/// Bytes of all weights.
pub(super) fn bytes(shape: &Shape, precision: Precision, target: Target) -> u64 {
    let slots = Slot::all(shape).into_iter();
    slots
        .map(|slot| placed(slot, shape, (precision, target)).1)
        .sum()
}

/// How a tensor is held and its bytes. Norms and biases are of the type of the activations, F32 on a CPU
/// and BF16 on a card beside quantized weights.
fn placed(slot: Slot, shape: &Shape, (precision, target): (Precision, Target)) -> (Precision, u64) {
    let activations = match (precision.numbers(), target) {
        (Numbers::F16, _) => Precision::F16,
        (Numbers::Bf16, _) | (Numbers::Quantized, Target::Cuda) => Precision::Bf16,
        (Numbers::Own | Numbers::F32, _) | (Numbers::Quantized, Target::Cpu) => Precision::F32,
    };
    let (held, rows, columns) = match slot.dims(shape) {
        Dims::Vector(length) => (activations, length, 1),
        Dims::Matrix { rows, columns } if precision.block().is_some() => {
            (precision.for_columns(columns as u64), rows, columns)
        }
        // Nobody knows the type of a file that was not looked at.
        Dims::Matrix { rows, columns } => (activations, rows, columns),
    };
    let size = WeightSize {
        rows: rows as u64,
        columns: columns as u64,
        count: 1,
    };
    let bytes = held.matrix_bytes(size);
    (
        held,
        bytes.expect("a type of activations and one that divides rows have blocks"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            tied_embeddings: false,
            qkv_bias: true,
            ..crate::study::plan::tests::shape()
        }
    }

    fn held(shape: &Shape, precision: Precision, target: Target) -> Vec<TensorMemory> {
        let subject = Subject {
            shape,
            native: Precision::Bf16,
            file_bytes: None,
            file_tensors: &[],
        };
        tensors(subject, target, precision)
    }

    #[test]
    fn tensors_add_up_by_group() {
        let shape = shape();
        let groups = by_group(&held(&shape, Precision::F16, Target::Cpu));
        let of = |group| groups[&group] / 2;
        assert_eq!(of(Group::Embedding), 512 * 256);
        assert_eq!(of(Group::OutputHead), 512 * 256);
        // Two layers of q, k, v, their biases, and the output projection.
        let attention = 256 * 256 + 2 * 128 * 256 + 256 + 2 * 128 + 256 * 256;
        assert_eq!(of(Group::Attention), 2 * attention);
        assert_eq!(of(Group::Ffn), 2 * 3 * 512 * 256);
        assert_eq!(of(Group::Norms), (2 * 2 + 1) * 256);
        assert_eq!(groups.get(&Group::Other), None);
        let all: u64 = groups.values().sum();
        assert_eq!(all, 2 * shape.parameters());
        assert_eq!(all, bytes(&shape, Precision::F16, Target::Cpu));
    }

    #[test]
    fn a_tensor_whose_rows_do_not_divide_says_its_own_type() {
        let narrow = Shape {
            hidden: 96,
            ..shape()
        };
        let tensors = held(&narrow, Precision::Q4K, Target::Cpu);
        let of = |name: &str| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
            (tensor.held.word(), tensor.bytes)
        };
        assert_eq!(of("blk.0.ffn_up.weight"), ("q5_0", 512 * 3 * 22));
        assert_eq!(of("blk.1.ffn_down.weight"), ("q4_k", 96 * 2 * 144));
        assert_eq!(of("output_norm.weight"), ("f32", 96 * 4));
        let card = held(&narrow, Precision::Q4K, Target::Cuda);
        let norm = card.iter().find(|tensor| tensor.group == Group::Norms);
        assert_eq!(norm.unwrap().held, Precision::Bf16);
    }

    #[test]
    fn a_tied_head_takes_no_bytes() {
        let tied = Shape {
            tied_embeddings: true,
            ..shape()
        };
        let groups = by_group(&held(&tied, Precision::Q8_0, Target::Cpu));
        assert_eq!(groups.get(&Group::OutputHead), None);
    }

    #[test]
    fn a_tensor_that_no_decoder_has_is_counted_apart() {
        let tensor = |name| in_file(name, &shape(), (Precision::F32, 8));
        assert_eq!(tensor("blk.1.attn_k.bias").group, Group::Attention);
        assert_eq!(tensor("blk.1.attn_sinks.weight").group, Group::Other);
    }
}
