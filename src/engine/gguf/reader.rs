//! Reading numbers and texts of a GGUF file, never beyond its end.

/// Why a file is refused: the key, tensor or offset, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where in the file.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Refusal {
    /// A refusal at a place.
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            reason: reason.into(),
        }
    }
}

/// A metadata value as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// An integer of any width.
    Integer(i128),
    /// A floating-point number of either width.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text; `None` when it is longer than what is kept.
    Text(Option<String>),
    /// An array.
    Array {
        /// Elements.
        count: u64,
        /// The elements when they are numbers and few.
        numbers: Option<Vec<f64>>,
    },
}

impl Value {
    /// The value as a number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Bool(_) | Self::Text(_) | Self::Array { .. } => None,
        }
    }
}

/// The bytes of the file from a position on.
pub(super) struct Reader<'a> {
    file: &'a [u8],
    /// Bytes read so far.
    pub(super) position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of the file.
    pub(super) const fn new(file: &'a [u8]) -> Self {
        Self { file, position: 0 }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        (self.file.len() - self.position) as u64
    }

    /// The position, for messages.
    pub(super) fn place(&self) -> String {
        format!("offset {}", self.position)
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], Refusal> {
        if count > self.left() {
            return Err(Refusal::new(
                self.place(),
                format!(
                    "{count} bytes are declared, but the file ends after {}",
                    self.left()
                ),
            ));
        }
        let start = self.position;
        self.position += count as usize;
        Ok(&self.file[start..self.position])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let bytes = self.take(N as u64)?;
        Ok(bytes
            .try_into()
            .expect("take returns as many bytes as asked for"))
    }

    /// The next 32-bit integer.
    pub(super) fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 64-bit integer.
    pub(super) fn u64(&mut self) -> Result<u64, Refusal> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next 64-bit integer, which must not exceed a limit.
    pub(super) fn count(&mut self, what: &str, limit: u64) -> Result<u64, Refusal> {
        let place = self.place();
        let count = self.u64()?;
        if count > limit {
            return Err(Refusal::new(
                place,
                format!("{what} {count} is above {limit}"),
            ));
        }
        Ok(count)
    }

    /// The next text with its length before it.
    pub(super) fn text(&mut self, limit: u64, what: &str) -> Result<&'a [u8], Refusal> {
        let place = self.place();
        let length = self.u64()?;
        if length > limit {
            return Err(Refusal::new(
                place,
                format!("{what} of {length} bytes is longer than {limit}"),
            ));
        }
        self.take(length)
    }

    /// The next number or truth value of this type id.
    pub(super) fn number(&mut self, kind: u32) -> Result<Value, Refusal> {
        let place = self.place();
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(u32::from_le_bytes(self.array()?).into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array::<1>()?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(Refusal::new(place, format!("{other} is no truth value"))),
            },
            10 => Value::Integer(u64::from_le_bytes(self.array()?).into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            unknown => return Err(unknown_kind(&place, unknown)),
        })
    }
}

/// Bytes of a number or truth value by its type id.
pub(super) const fn width_of(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The refusal of a type id that the format does not have.
pub(super) fn unknown_kind(place: &str, kind: u32) -> Refusal {
    Refusal::new(place, format!("unknown type of value {kind}"))
}
