//! Putting a model together from whatever supplies its tensors.

use candle_core::{DType, Tensor};

use super::{LayerWeights, Matrix, Stack, Weights};
use crate::engine::cards::Architecture;
use crate::engine::{EngineError, Progress};
use crate::study::model::{Part, Slot};

/// Where the tensors of a model come from: a checkpoint, a GGUF file or a random generator.
pub(crate) trait Supply {
    /// Matrices that read the same input, one under the other, on the device.
    fn stack(&mut self, slots: &[Slot]) -> Result<Stack, EngineError>;

    /// Vectors one after the other, in the activation type, on the device.
    fn vector(&mut self, slots: &[Slot]) -> Result<Tensor, EngineError>;
}

/// Places every tensor of the model, layer by layer.
pub(crate) fn assemble(
    architecture: Architecture,
    activation: DType,
    supply: &mut dyn Supply,
    progress: &Progress,
) -> Result<Weights, EngineError> {
    let Architecture { family, shape } = architecture;
    let mut counted = Counted { supply, progress };
    let embedding = counted.matrix(Slot::Embedding)?;
    let layers = (0..shape.layers)
        .map(|layer| {
            let slot = |part| Slot::Layer(layer, part);
            let vectors = |wanted: bool, parts: &[Part], counted: &mut Counted<'_>| {
                let slots: Vec<Slot> = parts.iter().map(|&part| slot(part)).collect();
                wanted.then(|| counted.vector(&slots)).transpose()
            };
            let bias = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
            Ok(LayerWeights {
                attention_norm: counted.vector(&[slot(Part::AttentionNorm)])?,
                qkv: counted.stack(&[slot(Part::Query), slot(Part::Key), slot(Part::Value)])?,
                qkv_bias: vectors(shape.qkv_bias, &bias, &mut counted)?,
                q_norm: vectors(shape.qk_norm, &[Part::QueryNorm], &mut counted)?,
                k_norm: vectors(shape.qk_norm, &[Part::KeyNorm], &mut counted)?,
                output: counted.matrix(slot(Part::Output))?,
                ffn_norm: counted.vector(&[slot(Part::FfnNorm)])?,
                gate_up: counted.stack(&[slot(Part::Gate), slot(Part::Up)])?,
                down: counted.matrix(slot(Part::Down))?,
            })
        })
        .collect::<Result<Vec<LayerWeights>, EngineError>>()?;
    let norm = counted.vector(&[Slot::Norm])?;
    let head = (!shape.tied_embeddings)
        .then(|| counted.matrix(Slot::Head))
        .transpose()?;
    Ok(Weights {
        family,
        shape,
        activation,
        embedding,
        layers,
        norm,
        head,
    })
}

/// A supply that counts what it hands out.
struct Counted<'a> {
    supply: &'a mut dyn Supply,
    progress: &'a Progress,
}

impl Counted<'_> {
    fn stack(&mut self, slots: &[Slot]) -> Result<Stack, EngineError> {
        let stack = self.supply.stack(slots)?;
        self.progress.step();
        Ok(stack)
    }

    fn vector(&mut self, slots: &[Slot]) -> Result<Tensor, EngineError> {
        let vector = self.supply.vector(slots)?;
        self.progress.step();
        Ok(vector)
    }

    fn matrix(&mut self, slot: Slot) -> Result<Matrix, EngineError> {
        let mut stack = self.stack(&[slot])?;
        Ok(stack.0.remove(0))
    }
}
