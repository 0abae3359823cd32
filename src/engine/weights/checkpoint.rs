//! A Hugging Face model folder: config.json, tokenizer.json, the index and its safetensors shards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use candle_core::quantized::QTensor;

use super::assembly::{Supply, assemble};
use super::files::Mapping;
use super::floats::{self, FloatKind, Floats};
use super::index::{self, INDEX, IndexFile, SINGLE};
use super::placement::{Placement, placing_failed};
use super::shard::{Entry, Shard};
use super::{Matrix, Stack, Wanted, Weights, files};
use crate::engine::cards::Architecture;
use crate::engine::config::{self, FILE as CONFIG};
use crate::engine::gguf::importance::Importance;
use crate::engine::quantize::{self, Unquantized};
use crate::engine::stopwatch::Stopwatch;
use crate::engine::{EngineError, Progress, tiny};
use crate::study::model::{Dims, Slot};
use crate::study::model::{Precision, Shape};

const TOKENIZER: &str = "tokenizer.json";

/// An opened and validated model folder.
pub(crate) struct Checkpoint {
    /// Family and shape from config.json.
    pub(crate) architecture: Architecture,
    /// Element type of most weights.
    pub(crate) native: Precision,
    folder: PathBuf,
    files: Vec<String>,
    shards: Vec<Shard>,
    tensors: HashMap<String, Place>,
}

/// Where a tensor is.
#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    entry: usize,
}

impl Checkpoint {
    /// Opens a folder and checks its files against each other, without reading weights.
    pub(crate) fn open(folder: &Path) -> Result<Self, EngineError> {
        if !folder.is_dir() {
            let reason = "not a folder; dir: takes one with config.json and safetensors";
            return Err(EngineError::model(folder.display(), reason));
        }
        let architecture = config::of_folder(folder)?;
        let mut files = vec![CONFIG.to_owned()];
        // Prompts are token ids, so a folder without a tokenizer can be measured too. One that is there
        // is checked in a process of its own.
        if folder.join(TOKENIZER).exists() {
            files.push(TOKENIZER.to_owned());
        }
        let index = index::of_folder(folder)?;
        let names = match &index {
            Some(index) => {
                files.push(INDEX.to_owned());
                index::shards(folder, index)?
            }
            None => vec![SINGLE.to_owned()],
        };
        let shards = names
            .iter()
            .map(|name| Shard::open(&folder.join(name)))
            .collect::<Result<Vec<Shard>, EngineError>>()?;
        files.extend(names);
        let tensors = locate(&shards)?;
        if let Some(index) = &index {
            compare_with_index(folder, index, &shards, &tensors)?;
        }
        Self::checked(Self {
            architecture,
            native: most_frequent(&shards, folder)?,
            folder: folder.to_owned(),
            files,
            shards,
            tensors,
        })
    }

    /// The small model inside the executable.
    pub(crate) fn tiny() -> Result<Self, EngineError> {
        let folder = PathBuf::from(tiny::NAME);
        let weights = Mapping::Embedded(tiny::WEIGHTS);
        let shards = vec![Shard::read(&folder.join(SINGLE), weights)?];
        Self::checked(Self {
            architecture: tiny::architecture(),
            native: most_frequent(&shards, &folder)?,
            files: vec![SINGLE.to_owned()],
            tensors: locate(&shards)?,
            folder,
            shards,
        })
    }

    fn checked(checkpoint: Self) -> Result<Self, EngineError> {
        if config::is_ours(checkpoint.architecture.family) {
            checkpoint.compare_with_shape()?;
        }
        Ok(checkpoint)
    }

    /// SHA-256 of each file by name.
    pub(crate) fn digests(&self) -> Result<BTreeMap<String, String>, EngineError> {
        self.files
            .iter()
            .map(|name| Ok((name.clone(), files::sha256(&self.folder.join(name))?)))
            .collect()
    }

    /// Places the weights on the device.
    pub(crate) fn load(
        self,
        placement: &Placement,
        wanted: Wanted<'_>,
        progress: &Progress,
    ) -> Result<Weights, EngineError> {
        let architecture = self.architecture.clone();
        config::only_ours(architecture.family)?;
        let activation = placement.activation;
        let mut supply = CheckpointSupply {
            checkpoint: self,
            placement,
            importance: wanted.importance,
            stopwatch: wanted.stopwatch,
        };
        assemble(architecture, activation, &mut supply, progress)
    }

    fn entry(&self, place: Place) -> &Entry {
        &self.shards[place.shard].tensors()[place.entry]
    }

    /// The elements of a tensor that [`Self::compare_with_shape`] has found in order.
    pub(crate) fn floats(&self, slot: Slot) -> Result<Floats<'_>, EngineError> {
        let name = slot.checkpoint_name();
        let found = self.tensors.get(&name).and_then(|&place| {
            let entry = self.entry(place);
            Some(self.shards[place.shard].floats(entry, entry.kind()?))
        });
        found.ok_or_else(|| self.missing(&name))
    }

    /// The element type of a tensor.
    pub(crate) fn kind(&self, slot: Slot) -> Option<FloatKind> {
        let place = self.tensors.get(&slot.checkpoint_name())?;
        self.entry(*place).kind()
    }

    /// Lets the elements of tensors go that have been read.
    pub(crate) fn release(&self, slots: &[Slot]) {
        for place in slots
            .iter()
            .filter_map(|slot| self.tensors.get(&slot.checkpoint_name()))
        {
            self.shards[place.shard].release(self.entry(*place));
        }
    }

    fn missing(&self, name: &str) -> EngineError {
        let place = if self.files.iter().any(|file| file == INDEX) {
            INDEX
        } else {
            SINGLE
        };
        EngineError::model(
            self.folder.join(place).display(),
            format!("tensor {name} is missing, which {CONFIG} calls for"),
        )
    }

    /// Every tensor that the shape calls for is there with its dimensions and a known element type, and
    /// none that the decoder would leave unused.
    fn compare_with_shape(&self) -> Result<(), EngineError> {
        let shape = &self.architecture.shape;
        let mut unused: BTreeSet<&str> = self.tensors.keys().map(String::as_str).collect();
        for slot in Slot::all(shape) {
            let name = slot.checkpoint_name();
            let Some(&place) = self.tensors.get(&name) else {
                return Err(self.missing(&name));
            };
            let entry = self.entry(place);
            let refuse = |reason| EngineError::model(self.describe(place), reason);
            if entry.kind().is_none() {
                return Err(refuse(format!(
                    "element type {} is not supported; F32, F16 and BF16 are",
                    entry.dtype
                )));
            }
            let expected = slot.dims(shape).list();
            if entry.dims != expected {
                return Err(refuse(format!(
                    "shape {:?} where {CONFIG} calls for {expected:?}",
                    entry.dims
                )));
            }
            unused.remove(name.as_str());
        }
        match unused.into_iter().find(|name| !is_harmless(name, shape)) {
            Some(name) => Err(EngineError::model(
                self.describe(self.tensors[name]),
                format!(
                    "not a part of {:?} as implemented here; its effect would be lost",
                    self.architecture.family
                ),
            )),
            None => Ok(()),
        }
    }

    /// Refuses a tensor that is there for what stands in it.
    fn refuse(&self, slot: Slot, reason: &str) -> EngineError {
        let name = slot.checkpoint_name();
        let place = self.tensors.get(&name);
        let named = place.map_or(name, |place| self.describe(*place));
        EngineError::model(named, reason)
    }

    fn describe(&self, place: Place) -> String {
        let path = self.shards[place.shard].path().display();
        format!("{path}: tensor {}", self.entry(place).name)
    }
}

/// Tensors that checkpoints carry without an effect: RoPE frequencies, which follow from config.json,
/// and a copy of a tied output projection.
fn is_harmless(name: &str, shape: &Shape) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
        || (shape.tied_embeddings && name == Slot::Head.checkpoint_name())
}

/// Where each tensor is; a tensor in two shards is refused.
fn locate(shards: &[Shard]) -> Result<HashMap<String, Place>, EngineError> {
    let mut tensors: HashMap<String, Place> = HashMap::new();
    for (shard, file) in shards.iter().enumerate() {
        for (entry, tensor) in file.tensors().iter().enumerate() {
            let place = Place { shard, entry };
            if let Some(first) = tensors.insert(tensor.name.clone(), place) {
                return Err(EngineError::model(
                    format!("{}: tensor {}", file.path().display(), tensor.name),
                    format!("stands in {} too", shards[first.shard].path().display()),
                ));
            }
        }
    }
    Ok(tensors)
}

/// The index and the shards must say the same.
fn compare_with_index(
    folder: &Path,
    index: &IndexFile,
    shards: &[Shard],
    tensors: &HashMap<String, Place>,
) -> Result<(), EngineError> {
    let refuse = |reason| EngineError::model(folder.join(INDEX).display(), reason);
    for (name, file) in &index.weight_map.0 {
        let holder = tensors.get(name).map(|place| shards[place.shard].path());
        if holder.is_none_or(|path| path != folder.join(file)) {
            return Err(refuse(format!("tensor {name} is not in {file}")));
        }
    }
    match tensors
        .keys()
        .find(|name| !index.weight_map.0.contains_key(*name))
    {
        Some(name) => Err(refuse(format!("tensor {name} of the shards is not listed"))),
        None => Ok(()),
    }
}

/// The element type that holds most weights.
fn most_frequent(shards: &[Shard], folder: &Path) -> Result<Precision, EngineError> {
    let mut elements = [0usize; 3];
    for entry in shards.iter().flat_map(Shard::tensors) {
        let count: usize = entry.dims.iter().product();
        match entry.kind() {
            Some(FloatKind::F32) => elements[0] += count,
            Some(FloatKind::F16) => elements[1] += count,
            Some(FloatKind::Bf16) => elements[2] += count,
            None => {}
        }
    }
    [Precision::F32, Precision::F16, Precision::Bf16]
        .into_iter()
        .zip(elements)
        .filter(|(_, count)| *count > 0)
        .max_by_key(|(_, count)| *count)
        .map(|(precision, _)| precision)
        .ok_or_else(|| {
            EngineError::model(
                folder.display(),
                "no tensor is F32, F16 or BF16; use the unquantized checkpoint",
            )
        })
}

/// Tensors converted from the mapped shards.
struct CheckpointSupply<'a> {
    checkpoint: Checkpoint,
    placement: &'a Placement,
    importance: Option<&'a Importance>,
    stopwatch: Option<&'a Stopwatch<'a>>,
}

impl CheckpointSupply<'_> {
    /// Quantizes matrices of the same columns; `None` where the precision is no quantized one.
    fn quantize(
        &self,
        precision: Precision,
        parts: &[Floats<'_>],
        columns: (usize, &[Option<&[f32]>]),
    ) -> Option<Result<QTensor, Unquantized>> {
        let work = || quantize::quantize(precision, parts, columns);
        match self.stopwatch {
            Some(stopwatch) if !precision.is_dense() => stopwatch.over(work),
            Some(_) | None => work(),
        }
    }

    fn parts(&self, slots: &[Slot]) -> Result<Vec<Floats<'_>>, EngineError> {
        slots
            .iter()
            .map(|&slot| self.checkpoint.floats(slot))
            .collect()
    }

    fn dims(&self, slot: Slot) -> Dims {
        slot.dims(&self.checkpoint.architecture.shape)
    }
}

impl Supply for CheckpointSupply<'_> {
    fn stack(&mut self, slots: &[Slot]) -> Result<Stack, EngineError> {
        let Placement {
            precision,
            activation,
            device,
        } = self.placement;
        let parts = self.parts(slots)?;
        let rows: usize = slots.iter().map(|&slot| self.dims(slot).rows()).sum();
        let columns = self.dims(slots[0]).columns();
        let fitting = precision.for_columns(columns as u64);
        let importances = slots
            .iter()
            .map(|slot| match self.importance {
                Some(importance) => importance.of(&slot.gguf_name(), columns),
                None => Ok(None),
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        let failed = |error| placing_failed(error, &slots[0].checkpoint_name());
        let matrix = match self.quantize(fitting, &parts, (columns, &importances)) {
            None => floats::place(&parts, &[rows, columns], *activation, device).map(Matrix::Dense),
            Some(Ok(packed)) => {
                quantize::place(packed, device).map(|placed| Matrix::Quant(Arc::new(placed)))
            }
            Some(Err(Unquantized::Candle(error))) => Err(error),
            Some(Err(refused @ Unquantized::NotFinite { part, .. })) => {
                return Err(self.checkpoint.refuse(slots[part], &refused.to_string()));
            }
        };
        let stack = Stack(vec![matrix.map_err(failed)?]);
        self.checkpoint.release(slots);
        Ok(stack)
    }

    fn vector(&mut self, slots: &[Slot]) -> Result<Tensor, EngineError> {
        let parts = self.parts(slots)?;
        let length = parts.iter().map(Floats::len).sum();
        let Placement {
            activation, device, ..
        } = self.placement;
        floats::place(&parts, &[length], *activation, device)
            .map_err(|error| placing_failed(error, &slots[0].checkpoint_name()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle_core::{DType, Device};
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, serialize};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::study::model::ModelSource;
    use crate::study::model::Part;

    /// Llama-shaped: hidden 64, two layers, ffn 96, four heads and two key-value heads of 16.
    fn config() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 40, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "tie_word_embeddings": false
        })
    }

    /// A value for each element that differs by tensor, row and column and that bfloat16 can hold.
    fn value(tensor: usize, element: usize) -> f32 {
        ((tensor * 37 + element * 11) % 251) as f32 / 128.0 - 0.992_187_5
    }

    type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

    fn tensors(dtype: Dtype) -> Tensors {
        let shape = config::parse(config().to_string().as_bytes())
            .unwrap()
            .shape;
        Slot::all(&shape)
            .into_iter()
            .enumerate()
            .map(|(number, slot)| {
                let dims = slot.dims(&shape).list();
                let count: usize = dims.iter().product();
                let bytes = (0..count)
                    .flat_map(|element| match dtype {
                        Dtype::BF16 => half::bf16::from_f32(value(number, element))
                            .to_le_bytes()
                            .to_vec(),
                        _ => value(number, element).to_le_bytes().to_vec(),
                    })
                    .collect();
                (slot.checkpoint_name(), (dtype, dims, bytes))
            })
            .collect()
    }

    fn write_shard(path: &Path, tensors: &Tensors) {
        let views = tensors.iter().map(|(name, (dtype, dims, bytes))| {
            (name, TensorView::new(*dtype, dims.clone(), bytes).unwrap())
        });
        fs::write(path, serialize(views, None).unwrap()).unwrap();
    }

    fn single(tensors: &Tensors) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), config().to_string()).unwrap();
        write_shard(&folder.path().join(SINGLE), tensors);
        folder
    }

    /// Two shards, split in the middle, with their index.
    fn sharded() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), config().to_string()).unwrap();
        let mut first = tensors(Dtype::BF16);
        let middle = first.keys().nth(first.len() / 2).unwrap().clone();
        let second = first.split_off(&middle);
        let mut weight_map = BTreeMap::new();
        for (file, part) in [("a.safetensors", &first), ("b.safetensors", &second)] {
            write_shard(&folder.path().join(file), part);
            weight_map.extend(part.keys().map(|name| (name.clone(), file)));
        }
        write_index(folder.path(), &weight_map);
        folder
    }

    fn write_index(folder: &Path, weight_map: &BTreeMap<String, &str>) {
        let index = json!({"metadata": {"total_size": 1}, "weight_map": weight_map});
        fs::write(folder.join(INDEX), index.to_string()).unwrap();
    }

    fn index_of(folder: &Path) -> Value {
        serde_json::from_slice(&fs::read(folder.join(INDEX)).unwrap()).unwrap()
    }

    #[track_caller]
    fn refused(folder: &Path, place: &str, reason: &str) {
        let EngineError::Model {
            place: at,
            reason: why,
        } = Checkpoint::open(folder)
            .err()
            .expect("the folder is broken")
        else {
            panic!("not a refusal of the model")
        };
        assert!(at.contains(place), "{at}");
        assert!(why.contains(reason), "{why}");
        assert!(!why.contains('\n'), "{why}");
    }

    fn load(folder: &Path, precision: Precision) -> Weights {
        let checkpoint = Checkpoint::open(folder).unwrap();
        let placement = Placement::new(precision, checkpoint.native, &Device::Cpu);
        let source = ModelSource::Dir(folder.to_owned());
        checkpoint
            .load(
                &placement,
                Wanted::new(&source, precision, 1),
                &Progress::default(),
            )
            .unwrap()
    }

    fn flat(matrix: &Matrix) -> Vec<f32> {
        match matrix {
            Matrix::Dense(tensor) => tensor.to_dtype(DType::F32).unwrap(),
            Matrix::Quant(packed) => packed.dequantize(&Device::Cpu).unwrap(),
        }
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
    }

    fn written(slots: &[Slot]) -> Vec<f32> {
        let shape = config::parse(config().to_string().as_bytes())
            .unwrap()
            .shape;
        let all = Slot::all(&shape);
        slots
            .iter()
            .flat_map(|slot| {
                let number = all.iter().position(|other| other == slot).unwrap();
                let count: usize = slot.dims(&shape).list().iter().product();
                (0..count).map(move |element| value(number, element))
            })
            .collect()
    }

    #[test]
    fn every_tensor_arrives_where_the_decoder_looks_for_it() {
        for folder in [
            single(&tensors(Dtype::F32)),
            single(&tensors(Dtype::BF16)),
            sharded(),
        ] {
            let weights = load(folder.path(), Precision::F32);
            let slot = |part| Slot::Layer(1, part);
            let layer = &weights.layers[1];
            let matrices = [
                (&weights.embedding, vec![Slot::Embedding]),
                (weights.head.as_ref().unwrap(), vec![Slot::Head]),
                (
                    &layer.qkv.0[0],
                    [Part::Query, Part::Key, Part::Value].map(slot).to_vec(),
                ),
                (
                    &layer.gate_up.0[0],
                    [Part::Gate, Part::Up].map(slot).to_vec(),
                ),
                (&layer.output, vec![slot(Part::Output)]),
                (&layer.down, vec![slot(Part::Down)]),
            ];
            for (matrix, slots) in matrices {
                assert_eq!(flat(matrix), written(&slots), "{slots:?}");
            }
            let vectors = [
                (&weights.norm, Slot::Norm),
                (&layer.attention_norm, slot(Part::AttentionNorm)),
                (&layer.ffn_norm, slot(Part::FfnNorm)),
            ];
            for (vector, slot) in vectors {
                assert_eq!(vector.to_vec1::<f32>().unwrap(), written(&[slot]));
            }
        }
    }

    #[test]
    fn a_row_that_a_type_does_not_divide_gets_its_fallback() {
        let folder = single(&tensors(Dtype::BF16));
        let weights = load(folder.path(), Precision::Q4K);
        assert_eq!(weights.activation, DType::F32);
        let Matrix::Quant(down) = &weights.layers[0].down else {
            panic!("96 columns divide into blocks of 32")
        };
        assert_eq!(down.dtype(), candle_core::quantized::GgmlDType::Q5_0);
        let exact = written(&[Slot::Layer(0, Part::Down)]);
        let difference = flat(&weights.layers[0].down)
            .iter()
            .zip(exact)
            .map(|(packed, exact)| (packed - exact).abs())
            .fold(0.0, f32::max);
        assert!(difference < 0.08, "{difference}");
    }

    #[test]
    fn the_native_type_is_that_of_the_files() {
        let folder = single(&tensors(Dtype::BF16));
        assert_eq!(
            Checkpoint::open(folder.path()).unwrap().native,
            Precision::Bf16
        );
        assert_eq!(
            load(folder.path(), Precision::Native).activation,
            DType::F32
        );
        assert_eq!(load(folder.path(), Precision::Bf16).activation, DType::BF16);
    }

    #[test]
    fn every_file_is_hashed_under_its_name() {
        let digests = Checkpoint::open(sharded().path())
            .unwrap()
            .digests()
            .unwrap();
        let names: Vec<&str> = digests.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.safetensors", "b.safetensors", CONFIG, INDEX]);
        assert!(digests.values().all(|digest| digest.len() == 64));
    }

    #[test]
    fn a_folder_without_its_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        refused(&folder.path().join("none"), "none", "not a folder");
        refused(folder.path(), CONFIG, "No such file");
        fs::write(folder.path().join(CONFIG), config().to_string()).unwrap();
        refused(folder.path(), "", "neither model.safetensors nor");
        fs::write(folder.path().join(SINGLE), "").unwrap();
        refused(folder.path(), SINGLE, "truncated: 0 bytes");
    }

    #[test]
    fn tensors_that_contradict_the_configuration_are_refused() {
        let name = "model.layers.1.mlp.up_proj.weight";
        let mut missing = tensors(Dtype::BF16);
        missing.remove(name);
        refused(
            single(&missing).path(),
            SINGLE,
            "model.layers.1.mlp.up_proj.weight is missing",
        );
        let mut turned = tensors(Dtype::BF16);
        turned.get_mut(name).unwrap().1.reverse();
        refused(
            single(&turned).path(),
            name,
            "shape [64, 96] where config.json calls for [96, 64]",
        );
        let mut integers = tensors(Dtype::BF16);
        integers.get_mut(name).unwrap().0 = Dtype::I16;
        refused(
            single(&integers).path(),
            name,
            "element type I16 is not supported",
        );
        let mut biased = tensors(Dtype::BF16);
        let bias = (Dtype::BF16, vec![64], vec![0; 128]);
        biased.insert(
            "model.layers.0.self_attn.o_proj.bias".to_owned(),
            bias.clone(),
        );
        refused(
            single(&biased).path(),
            "o_proj.bias",
            "its effect would be lost",
        );
        let mut frequencies = tensors(Dtype::BF16);
        frequencies.insert(
            "model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(),
            bias,
        );
        Checkpoint::open(single(&frequencies).path()).unwrap();
    }

    type Edit<'a> = &'a dyn Fn(&mut serde_json::Map<String, Value>);

    #[test]
    fn an_index_that_contradicts_the_shards_is_refused() {
        let change = |change: Edit<'_>| {
            let folder = sharded();
            let mut index = index_of(folder.path());
            change(index["weight_map"].as_object_mut().unwrap());
            fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
            folder
        };
        let norm = "model.norm.weight";
        let cases: [(Edit<'_>, &str); 5] = [
            (
                &|map| _ = map.insert(norm.into(), "c.safetensors".into()),
                "missing shards: c.safetensors",
            ),
            (
                &|map| _ = map.insert(norm.into(), "../b.safetensors".into()),
                "not the name of a file",
            ),
            (
                &|map| _ = map.insert(norm.into(), "a.safetensors".into()),
                "model.norm.weight is not in a.safetensors",
            ),
            (
                &|map| _ = map.insert("extra".into(), "a.safetensors".into()),
                "tensor extra is not in a.safetensors",
            ),
            (
                &|map| _ = map.remove(norm),
                "model.norm.weight of the shards is not listed",
            ),
        ];
        for (edit, reason) in cases {
            refused(change(edit).path(), INDEX, reason);
        }
        let folder = sharded();
        let text = fs::read_to_string(folder.path().join(INDEX)).unwrap();
        let twice = text.replacen(
            "\"model.norm.weight\":",
            "\"model.norm.weight\":\"a\",\"model.norm.weight\":",
            1,
        );
        fs::write(folder.path().join(INDEX), twice).unwrap();
        refused(folder.path(), INDEX, "\"model.norm.weight\" stands twice");
    }

    #[test]
    fn a_tensor_in_two_shards_is_refused() {
        let folder = sharded();
        let extra = tensors(Dtype::BF16);
        write_shard(&folder.path().join("b.safetensors"), &extra);
        refused(folder.path(), "b.safetensors: tensor", "stands in");
    }

    #[test]
    fn a_truncated_shard_is_refused() {
        let folder = sharded();
        let path = folder.path().join("b.safetensors");
        let bytes = fs::read(&path).unwrap();
        for length in [0, 5, 100, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            refused(folder.path(), "b.safetensors", "");
        }
    }
}
