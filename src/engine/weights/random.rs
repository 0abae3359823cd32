//! Seeded random weights of a given shape: the speed of a model without its download.
//!
//! A stretch of normal numbers is generated once and laid out again and again at offsets drawn from the
//! seed. Its length is prime, so that no two rows of a matrix are equal, and a matrix costs a copy
//! instead of a random number per weight. The values are spread like those of a trained model (zeros
//! would flatter a GPU, whose power depends on the bits that toggle).

use std::collections::HashMap;
use std::f32::consts::TAU;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::assembly::{Supply, assemble};
use super::placement::{Placement, placing_failed};
use super::{Matrix, Stack, Weights};
use crate::engine::cards::Architecture;
use crate::engine::quantize::{self, Tile, stretches};
use crate::engine::{EngineError, Progress};
use crate::study::model::{Dims, Part, Slot};
use crate::study::model::{Precision, Shape};

/// Random numbers per model: the largest prime below 2²², 16 MiB in F32.
const STRETCH: usize = (1 << 22) - 3;
/// Standard deviation of weights, the usual initialization of this family of models.
const DEVIATION: f32 = 0.02;
/// Factor on the random numbers that are added to norms of one.
const NORM_NOISE: f32 = 2.5;

/// Builds a model of random weights on the device.
pub(crate) fn load(
    architecture: Architecture,
    placement: &Placement,
    seed: u64,
    progress: &Progress,
) -> Result<Weights, EngineError> {
    let failed = |error| placing_failed(error, "random weights");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let normal = normal_numbers(&mut random);
    let dense = Tensor::from_slice(&normal, STRETCH, &Device::Cpu)
        .and_then(|stretch| stretch.to_dtype(placement.activation))
        .and_then(|stretch| stretch.to_device(&placement.device))
        .map_err(failed)?;
    let mut supply = RandomSupply {
        shape: architecture.shape.clone(),
        placement,
        random,
        normal,
        dense,
        tiles: HashMap::new(),
    };
    assemble(architecture, placement.activation, &mut supply, progress)
}

/// Tensors laid out from one stretch of random numbers.
struct RandomSupply<'a> {
    shape: Shape,
    placement: &'a Placement,
    random: ChaCha8Rng,
    normal: Vec<f32>,
    dense: Tensor,
    tiles: HashMap<Precision, Tile>,
}

impl RandomSupply<'_> {
    fn dense(&mut self, dims: (usize, usize)) -> candle_core::Result<Matrix> {
        let weights = dims.0 * dims.1;
        let Placement {
            activation, device, ..
        } = self.placement;
        let flat = Tensor::zeros(weights, *activation, device)?;
        let start = self.random.random_range(0..STRETCH);
        let mut position = 0;
        for stretch in stretches(STRETCH, start, weights) {
            let piece = self.dense.narrow(0, stretch.start, stretch.len())?;
            flat.slice_set(&piece, 0, position)?;
            position += stretch.len();
        }
        Ok(Matrix::Dense(flat.reshape(dims)?))
    }

    /// Blocks of random weights, laid in host memory: on the CPU they stay there, on a card they are copied whole,
    /// because candle takes a quantized matrix in one piece. So a load needs as much host memory beside the card as
    /// its largest matrix has bytes (0.5 GiB for the output of an 8B model in q8_0), and nothing on the card.
    fn quantized(
        &mut self,
        precision: Precision,
        dims: (usize, usize),
    ) -> candle_core::Result<Matrix> {
        let start = self.random.random_range(0..STRETCH);
        let normal = &self.normal;
        let tile = self.tiles.entry(precision).or_insert_with(|| {
            Tile::new(precision, normal).expect("only quantized precisions are laid from tiles")
        });
        let placed = quantize::place(tile.lay(dims, start)?, &self.placement.device)?;
        Ok(Matrix::Quant(Arc::new(placed)))
    }
}

impl Supply for RandomSupply<'_> {
    fn stack(&mut self, slots: &[Slot]) -> Result<Stack, EngineError> {
        let dims = slots.iter().map(|slot| slot.dims(&self.shape));
        let rows = dims.clone().map(Dims::rows).sum();
        let columns = slots[0].dims(&self.shape).columns();
        let precision = self.placement.precision.for_columns(columns as u64);
        let matrix = if precision.is_dense() {
            self.dense((rows, columns))
        } else {
            self.quantized(precision, (rows, columns))
        };
        let failed = |error| placing_failed(error, &format!("{rows}x{columns} random weights"));
        Ok(Stack(vec![matrix.map_err(failed)?]))
    }

    fn vector(&mut self, slots: &[Slot]) -> Result<Tensor, EngineError> {
        let mut values = Vec::new();
        for &slot in slots {
            let length = slot.dims(&self.shape).rows();
            let start = self.random.random_range(0..STRETCH);
            for stretch in stretches(STRETCH, start, length) {
                let drawn = self.normal[stretch].iter();
                if is_bias(slot) {
                    values.extend(drawn);
                } else {
                    values.extend(drawn.map(|value| 1.0 + NORM_NOISE * value));
                }
            }
        }
        let length = values.len();
        Tensor::from_vec(values, length, &Device::Cpu)
            .and_then(|vector| vector.to_dtype(self.placement.activation))
            .and_then(|vector| vector.to_device(&self.placement.device))
            .map_err(|error| placing_failed(error, "a random vector"))
    }
}

const fn is_bias(slot: Slot) -> bool {
    matches!(
        slot,
        Slot::Layer(_, Part::QueryBias | Part::KeyBias | Part::ValueBias)
    )
}

/// Normal numbers by the transformation of Box and Muller.
fn normal_numbers(random: &mut impl Rng) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(STRETCH + 1);
    while numbers.len() < STRETCH {
        // In (0, 1], so that the logarithm is finite.
        let radius: f32 = 1.0 - random.random::<f32>();
        let angle = TAU * random.random::<f32>();
        let length = DEVIATION * (-2.0 * radius.ln()).sqrt();
        numbers.push(length * angle.cos());
        numbers.push(length * angle.sin());
    }
    numbers.truncate(STRETCH);
    numbers
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::engine::tiny;

    fn drawn(precision: Precision, seed: u64) -> Weights {
        let placement = Placement::new(precision, Precision::F32, &Device::Cpu);
        load(tiny::architecture(), &placement, seed, &Progress::default()).unwrap()
    }

    fn values(matrix: &Matrix) -> Vec<f32> {
        let dense = match matrix {
            Matrix::Dense(tensor) => tensor.to_dtype(DType::F32).unwrap(),
            Matrix::Quant(packed) => packed.dequantize(&Device::Cpu).unwrap(),
        };
        dense.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[track_caller]
    fn looks_trained(values: &[f32], what: Precision) {
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count;
        assert!(mean.abs() < 1e-3, "{what}: mean {mean}");
        assert!((variance.sqrt() - 0.02).abs() < 2e-3, "{what}: {variance}");
    }

    #[test]
    fn every_precision_gives_a_whole_model_of_its_type() {
        for precision in Precision::ALL {
            let weights = drawn(precision, 1);
            assert_eq!(weights.layers.len(), 4);
            let layer = &weights.layers[3];
            let matrices = [&layer.qkv.0[0], &layer.gate_up.0[0], &layer.down];
            let dims = [(512, 256), (1536, 256), (256, 768)];
            for (matrix, dims) in matrices.into_iter().zip(dims) {
                match matrix {
                    Matrix::Dense(tensor) => {
                        assert!(precision.is_dense());
                        assert_eq!(tensor.dims2().unwrap(), dims);
                        assert_eq!(tensor.dtype(), weights.activation);
                    }
                    Matrix::Quant(packed) => {
                        assert_eq!(Some(packed.dtype()), quantize::block_type(precision));
                        assert_eq!(packed.shape().dims2().unwrap(), dims);
                    }
                }
                looks_trained(&values(matrix), precision);
            }
            let norm = weights.norm.to_dtype(DType::F32).unwrap();
            let norm = norm.to_vec1::<f32>().unwrap();
            assert!(norm.iter().all(|value| (value - 1.0).abs() < 0.5));
            assert!(
                norm.windows(2)
                    .any(|pair| pair[0].to_bits() != pair[1].to_bits())
            );
        }
    }

    #[test]
    fn the_seed_decides_every_weight() {
        for precision in [Precision::F32, Precision::Q8_0] {
            let [first, again, other] =
                [1, 1, 2].map(|seed| values(&drawn(precision, seed).embedding));
            assert_eq!(first, again);
            assert_ne!(first, other);
        }
    }

    #[test]
    fn no_two_rows_of_a_matrix_are_equal() {
        let embedding = values(&drawn(Precision::F32, 1).embedding);
        let rows: std::collections::HashSet<Vec<u32>> = embedding
            .chunks(256)
            .map(|row| row.iter().map(|value| value.to_bits()).collect())
            .collect();
        assert_eq!(rows.len(), 1024);
    }

    #[test]
    fn a_family_gets_the_vectors_it_needs() {
        let mut architecture = tiny::architecture();
        architecture.shape.qkv_bias = true;
        architecture.shape.qk_norm = true;
        architecture.shape.tied_embeddings = true;
        let placement = Placement::new(Precision::F16, Precision::F16, &Device::Cpu);
        let weights = load(architecture, &placement, 1, &Progress::default()).unwrap();
        let layer = &weights.layers[0];
        assert_eq!(layer.qkv_bias.as_ref().unwrap().dims(), [512]);
        assert_eq!(layer.q_norm.as_ref().unwrap().dims(), [64]);
        assert_eq!(layer.k_norm.as_ref().unwrap().dtype(), DType::F16);
        assert!(weights.head.is_none());
    }
}
