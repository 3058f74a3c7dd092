//! Matrix products with weights, and embedding lookups in them.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Module, Result, Shape, Tensor};
use tier0_kernels::{DenseWeight, Gate, PackedWeight, Part, RowSource};

use super::{
    Input, cpu_slice,
    weight::{Kind, Weight},
    with_values,
};

/// Matrix products of the same rows with one or several weights, their outputs side by side:
/// `[x·W₀ᵀ + b₀, x·W₁ᵀ + b₁, …]`.
#[derive(Debug, Clone)]
pub struct Linear(Parts);

#[derive(Debug, Clone)]
enum Parts {
    /// All weights are packed, in blocks of the same length: one call of the kernels.
    Packed(Vec<PackedPart>),
    /// Any other weights: one product after the other.
    Single(Vec<(Weight, Option<Tensor>)>),
    /// A gate and its values, one product after the other.
    Gated(Gate, Box<[Weight; 2]>),
}

#[derive(Debug, Clone)]
struct PackedPart {
    weight: Arc<PackedWeight>,
    bias: Option<Vec<f32>>,
    gates: Option<(Gate, Arc<PackedWeight>)>,
}

impl PackedPart {
    fn block_len(&self) -> usize {
        self.weight.block_type().block_len()
    }

    fn borrow(&self) -> Part<'_> {
        let gates = self.gates.as_ref().map(|(gate, up)| (*gate, up.as_ref()));
        Part { w: &self.weight, bias: self.bias.as_deref(), gates }
    }
}

impl Linear {
    /// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
    ///
    /// # Errors
    /// When the bias cannot be read.
    pub fn new(weight: Weight, bias: Option<Tensor>) -> Result<Self> {
        Self::side_by_side(vec![(weight, bias)])
    }

    /// Several weights with their biases, `[n_out, n_in]` and `[n_out]`, of the same `n_in`.
    ///
    /// # Errors
    /// When a bias cannot be read.
    pub fn side_by_side(parts: Vec<(Weight, Option<Tensor>)>) -> Result<Self> {
        let packed = parts.iter().map(|(weight, bias)| {
            let Kind::Packed(weight) = &weight.0 else { return Ok(None) };
            let bias = bias.as_ref().map(Tensor::to_vec1).transpose()?;
            Ok(Some(PackedPart { weight: Arc::clone(weight), bias, gates: None }))
        });
        let packed = packed.collect::<Result<Option<Vec<_>>>>()?;
        let one_length = |packed: &Vec<PackedPart>| {
            packed.windows(2).all(|pair| pair[0].block_len() == pair[1].block_len())
        };
        Ok(Self(packed.filter(one_length).map_or(Parts::Single(parts), Parts::Packed)))
    }

    /// A gate and up projection, both `[n_out, n_in]`: `act(x·W₀ᵀ)·(x·W₁ᵀ)`.
    pub fn gated(gate: Gate, weights: [Weight; 2]) -> Self {
        Self(match &weights {
            [Weight(Kind::Packed(weight)), Weight(Kind::Packed(up))]
                if weight.block_type().block_len() == up.block_type().block_len() =>
            {
                let gates = Some((gate, Arc::clone(up)));
                Parts::Packed(vec![PackedPart { weight: Arc::clone(weight), bias: None, gates }])
            }
            _ => Parts::Gated(gate, Box::new(weights)),
        })
    }

    /// `[n_tokens, n_in] → [n_tokens, Σ n_out]`, written to `out`, whose content is replaced. Its memory is
    /// reused if the weights are packed.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_into(&self, input: Input<'_>, out: &mut Vec<f32>) -> Result<()> {
        let Parts::Packed(parts) = &self.0 else {
            *out = self.forward(input, None)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            return Ok(());
        };
        let x = input.tensor().contiguous()?;
        let (_, n_in) = x.dims2()?;
        with_values(&x, |values| {
            rows_with(parts, input, values, n_in, |rows, parts| {
                tier0_kernels::linear_into(rows, parts, None, out);
                Ok(())
            })
        })
    }

    /// `[n_tokens, n_in] → [n_tokens, Σ n_out]`, with `residual` of the same shape added.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, input: Input<'_>, residual: Option<&Tensor>) -> Result<Tensor> {
        match (&self.0, residual) {
            (Parts::Packed(parts), Some(residual)) => {
                let residual = residual.contiguous()?;
                with_values(&residual, |values| packed_matmul(parts, input, Some(values)))
            }
            (Parts::Packed(parts), None) => packed_matmul(parts, input, None),
            (Parts::Single(parts), residual) => {
                let x = input.to_tensor()?.contiguous()?;
                let outs = parts.iter().map(|(weight, bias)| single(&x, weight, bias.as_ref()));
                let outs: Vec<Tensor> = outs.collect::<Result<_>>()?;
                let out = if let [out] = &outs[..] { out.clone() } else { Tensor::cat(&outs, 1)? };
                residual.map_or(Ok(out.clone()), |residual| out + residual)
            }
            (Parts::Gated(gate, weights), residual) => {
                let x = input.to_tensor()?.contiguous()?;
                let gates = single(&x, &weights[0], None)?;
                let values = single(&x, &weights[1], None)?;
                let out = if gates.device().is_cpu() {
                    gates.apply_op2_no_bwd(&values, &Gated(*gate))?
                } else {
                    gated_by_candle(*gate, &gates, &values)?
                };
                residual.map_or(Ok(out.clone()), |residual| out + residual)
            }
        }
    }
}

/// [`Gated`] by candle's operations, for any device.
fn gated_by_candle(gate: Gate, gates: &Tensor, values: &Tensor) -> Result<Tensor> {
    let gates = match gate {
        Gate::Silu => gates.silu()?,
        Gate::GeluTanh => gates.gelu()?,
    };
    gates * values
}

/// Calls `run` with the rows of `input` and the borrowed `parts`, after a check of their shapes.
fn rows_with<R>(
    parts: &[PackedPart],
    input: Input<'_>,
    x: &[f32],
    n_in: usize,
    run: impl FnOnce(RowSource<'_>, &[Part<'_>]) -> Result<R>,
) -> Result<R> {
    let parts: Vec<Part<'_>> = parts.iter().map(PackedPart::borrow).collect();
    parts.iter().try_for_each(|part| check_columns(n_in, part.w.n_in()))?;
    input.with_rows(x, |rows| run(rows, &parts))
}

fn packed_matmul(parts: &[PackedPart], input: Input<'_>, residual: Option<&[f32]>) -> Result<Tensor> {
    let x = input.tensor().contiguous()?;
    x.apply_op1_no_bwd(&PackedMatMul { parts, input, residual })
}

fn single(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = match &weight.0 {
        Kind::Packed(weight) => {
            let part = PackedPart { weight: Arc::clone(weight), bias: None, gates: None };
            packed_matmul(&[part], Input::Plain(x), None)?
        }
        Kind::Dense(weight) => x.apply_op1_no_bwd(&DenseMatMul { weight })?,
        Kind::F32(weight) => x.apply_op2_no_bwd(weight, &F32MatMul)?,
        Kind::Candle(weight) => weight.forward(x)?,
    };
    bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
}

/// Matrix products with packed weights.
struct PackedMatMul<'a> {
    parts: &'a [PackedPart],
    input: Input<'a>,
    residual: Option<&'a [f32]>,
}

impl CustomOp1 for PackedMatMul<'_> {
    fn name(&self) -> &'static str {
        "packed-matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = layout.shape().dims2()?;
        let n_out: usize = self.parts.iter().map(|part| part.weight.n_out()).sum();
        if self.residual.is_some_and(|residual| residual.len() != n_rows * n_out) {
            candle_core::bail!("a residual for {n_rows} rows of {n_out} has another shape");
        }
        let out = rows_with(self.parts, self.input, cpu_slice(x, layout)?, n_in, |rows, parts| {
            Ok(tier0_kernels::linear(rows, parts, self.residual))
        })?;
        Ok((CpuStorage::F32(out), (n_rows, n_out).into()))
    }
}

/// The matrix product with an f16 or bf16 weight.
struct DenseMatMul<'a> {
    weight: &'a DenseWeight,
}

impl CustomOp1 for DenseMatMul<'_> {
    fn name(&self) -> &'static str {
        "dense-matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = layout.shape().dims2()?;
        check_columns(n_in, self.weight.n_in())?;
        let mut out = vec![0f32; n_rows * self.weight.n_out()];
        tier0_kernels::linear_dense(cpu_slice(x, layout)?, self.weight, None, &mut out);
        Ok((CpuStorage::F32(out), (n_rows, self.weight.n_out()).into()))
    }
}

/// The matrix product with an f32 weight.
struct F32MatMul;

impl CustomOp2 for F32MatMul {
    fn name(&self) -> &'static str {
        "f32-matmul"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = x_layout.shape().dims2()?;
        let (n_out, weight_in) = w_layout.shape().dims2()?;
        check_columns(n_in, weight_in)?;
        let mut out = vec![0f32; n_rows * n_out];
        tier0_kernels::linear_f32(cpu_slice(x, x_layout)?, cpu_slice(weight, w_layout)?, n_in, &mut out);
        Ok((CpuStorage::F32(out), (n_rows, n_out).into()))
    }
}

/// `act(gates)·values`, element by element.
struct Gated(Gate);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if gates_layout.shape() != values_layout.shape() {
            candle_core::bail!("gates of {:?} do not fit {:?}", gates_layout.shape(), values_layout.shape());
        }
        let mut out = cpu_slice::<f32>(gates, gates_layout)?.to_vec();
        tier0_kernels::gate(self.0, &mut out, cpu_slice(values, values_layout)?);
        Ok((CpuStorage::F32(out), gates_layout.shape().clone()))
    }
}

fn check_columns(n_in: usize, weight_in: usize) -> Result<()> {
    if n_in != weight_in {
        candle_core::bail!("rows of {n_in} do not fit a weight of {weight_in} columns");
    }
    Ok(())
}

/// The token embeddings: the rows of a weight.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Weight,
    scale: f64,
}

impl Embedding {
    /// `table` is `[n_vocab, hidden]`; every row is multiplied by `scale` when it is looked up.
    pub fn new(table: Weight, scale: f64) -> Self {
        Self { table, scale }
    }

    /// `ids [n_tokens]` (u32) `→ [n_tokens, hidden]`.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let rows = match &self.table.0 {
            Kind::Packed(table) => {
                gather_rows(ids, [table.n_out(), table.n_in()], &|id, out| table.row(id, out))
            }
            Kind::Dense(table) => {
                gather_rows(ids, [table.n_out(), table.n_in()], &|id, out| table.row(id, out))
            }
            Kind::F32(table) => table.index_select(ids, 0),
            Kind::Candle(table) => table.embedding(ids),
        }?;
        if self.scale == 1.0 { Ok(rows) } else { rows * self.scale }
    }
}

/// The rows `ids` of a table of `shape`; `row` writes one of them.
fn gather_rows(ids: &Tensor, shape: [usize; 2], row: &(dyn Fn(usize, &mut [f32]) + Sync)) -> Result<Tensor> {
    ids.contiguous()?.apply_op1_no_bwd(&GatherRows { shape, row })
}

/// Gathers rows of a packed or dense table.
struct GatherRows<'a> {
    shape: [usize; 2],
    row: &'a (dyn Fn(usize, &mut [f32]) + Sync),
}

impl CustomOp1 for GatherRows<'_> {
    fn name(&self) -> &'static str {
        "gather-rows"
    }

    fn cpu_fwd(&self, ids: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ids: &[u32] = cpu_slice(ids, layout)?;
        let [n_rows, n_in] = self.shape;
        if let Some(id) = ids.iter().find(|id| **id as usize >= n_rows) {
            candle_core::bail!("token {id} lies outside the vocabulary of {n_rows}");
        }
        let mut out = vec![0f32; ids.len() * n_in];
        for (id, out) in ids.iter().zip(out.chunks_exact_mut(n_in)) {
            (self.row)(*id as usize, out);
        }
        Ok((CpuStorage::F32(out), (ids.len(), n_in).into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{
        Device,
        quantized::{GgmlDType, QTensor},
    };
    use rstest::rstest;

    use super::*;

    #[test]
    fn full_weights_multiply_as_candle_does() {
        let x = Tensor::randn(0f32, 1.0, (5, 40), &Device::Cpu).unwrap();
        let weight = Tensor::randn(0f32, 1.0, (33, 40), &Device::Cpu).unwrap();
        let bias = Tensor::randn(0f32, 1.0, 33, &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&weight, GgmlDType::F32).unwrap());
        let weight_of = |stored| Weight::from_tensor(stored).unwrap();
        let ours = Linear::new(weight_of(stored), Some(bias.clone())).unwrap();
        let ours = ours.forward(Input::Plain(&x), None).unwrap();
        let candles = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        assert!(largest_difference(ours, candles) < 1e-4);
    }

    #[rstest]
    #[case::packed(GgmlDType::Q8_0)]
    #[case::full(GgmlDType::F32)]
    fn memory_that_is_used_again_holds_only_the_new_result(#[case] dtype: GgmlDType) {
        let weight = Tensor::randn(0f32, 1.0, (33, 64), &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&weight, dtype).unwrap());
        let linear = Linear::new(Weight::from_tensor(stored).unwrap(), None).unwrap();
        let mut out = vec![f32::NAN; 1000];
        for n_rows in [9, 1, 4] {
            let x = Tensor::randn(0f32, 1.0, (n_rows, 64), &Device::Cpu).unwrap();
            linear.forward_into(Input::Plain(&x), &mut out).unwrap();
            let fresh = linear.forward(Input::Plain(&x), None).unwrap();
            assert_eq!(out, fresh.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
        let wider = Tensor::zeros((1, 96), DType::F32, &Device::Cpu).unwrap();
        assert!(linear.forward_into(Input::Plain(&wider), &mut out).is_err());
    }

    #[rstest]
    #[case(Gate::Silu)]
    #[case(Gate::GeluTanh)]
    fn a_gate_is_the_same_on_the_cpu_and_elsewhere(#[case] gate: Gate) {
        let gates = Tensor::randn(0f32, 2.0, (5, 40), &Device::Cpu).unwrap();
        let values = Tensor::randn(0f32, 1.0, (5, 40), &Device::Cpu).unwrap();
        let ours = gates.apply_op2_no_bwd(&values, &Gated(gate)).unwrap();
        let candles = gated_by_candle(gate, &gates, &values).unwrap();
        assert!(largest_difference(ours, candles) < 1e-5);
        let fewer = values.narrow(0, 0, 4).unwrap();
        assert!(gates.apply_op2_no_bwd(&fewer, &Gated(gate)).is_err());
    }

    fn largest_difference(a: Tensor, b: Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }
}
