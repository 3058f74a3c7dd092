//! Rotary position embedding (Su et al. 2021).

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor};
use candle_nn::rotary_emb;
use tier0_kernels::{Pairing, RopeTable};

use super::with_values;

/// The parameters of the rotation angles.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Which components of a head form the pairs that are rotated.
    pub pairing: Pairing,
    /// Number of a head's components that are rotated; even.
    pub dim: usize,
    /// Base of the geometric series of frequencies.
    pub base: f32,
    /// Positions are divided by it (linear scaling); 1 is no scaling.
    pub scale: f32,
    /// One divisor for each frequency (Llama 3's scaling), if the file has them: `[dim / 2]`.
    pub divisors: Option<Vec<f32>>,
}

/// Tables of cosines and sines for every position of the context.
#[derive(Debug, Clone)]
pub struct Rope {
    pairing: Pairing,
    dim: usize,
    /// `[n_positions, dim / 2]`.
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Tables for positions `0..n_positions`.
    ///
    /// # Errors
    /// When the tensors cannot be made on the device, or there are not `dim / 2` divisors.
    pub fn new(spec: &RopeSpec, n_positions: usize, device: &Device) -> Result<Self> {
        let n_pairs = spec.dim / 2;
        let divisors = spec.divisors.clone().unwrap_or_else(|| vec![1.0; n_pairs]);
        if divisors.len() != n_pairs {
            candle_core::bail!("rope has {} frequency divisors, expected {n_pairs}", divisors.len());
        }
        let frequencies: Vec<f64> = divisors
            .iter()
            .enumerate()
            .map(|(i, divisor)| {
                let exponent = 2.0 * i as f64 / spec.dim as f64;
                1.0 / (f64::from(spec.base).powf(exponent) * f64::from(*divisor) * f64::from(spec.scale))
            })
            .collect();
        let angles = (0..n_positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let shape = (n_positions, n_pairs);
        Ok(Self {
            pairing: spec.pairing,
            dim: spec.dim,
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }

    /// The rows of the tables for a batch's `positions [n_tokens]` (u32), shared by its layers.
    ///
    /// # Errors
    /// When a position lies outside the tables.
    pub fn at(&self, positions: &Tensor) -> Result<RopeRows> {
        // One row is a batch entry of one token to candle's kernels: [n_tokens, 1, dim / 2].
        let rows = |table: &Tensor| table.index_select(positions, 0)?.unsqueeze(1);
        Ok(RopeRows { pairing: self.pairing, dim: self.dim, cos: rows(&self.cos)?, sin: rows(&self.sin)? })
    }
}

/// The rotation of each token of one batch.
#[derive(Debug, Clone)]
pub struct RopeRows {
    pairing: Pairing,
    dim: usize,
    cos: Tensor,
    sin: Tensor,
}

impl RopeRows {
    /// Rotates every head: `[n_tokens, n_heads · head_dim] → [n_tokens, n_heads, head_dim]`. The rows
    /// may be parts of longer ones.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn rotate(&self, x: &Tensor, n_heads: usize) -> Result<Tensor> {
        if x.device().is_cpu() {
            return x.apply_op1_no_bwd(&CpuRope { rows: self, n_heads });
        }
        let (n_tokens, width) = x.dims2()?;
        let head_dim = width / n_heads;
        let x = x.contiguous()?.reshape((n_tokens, n_heads, head_dim))?;
        if self.dim == head_dim {
            return self.rotate_whole(&x);
        }
        let turned = self.rotate_whole(&x.narrow(D::Minus1, 0, self.dim)?)?;
        let kept = x.narrow(D::Minus1, self.dim, head_dim - self.dim)?;
        Tensor::cat(&[&turned, &kept], D::Minus1)
    }

    fn rotate_whole(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?.unsqueeze(2)?;
        let turned = match self.pairing {
            Pairing::Interleaved => rotary_emb::rope_i(&x, &self.cos, &self.sin)?,
            Pairing::Neox => rotary_emb::rope(&x, &self.cos, &self.sin)?,
        };
        turned.squeeze(2)
    }
}

struct CpuRope<'a> {
    rows: &'a RopeRows,
    n_heads: usize,
}

impl CustomOp1 for CpuRope<'_> {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let RopeRows { pairing, dim, cos, sin } = self.rows;
        let (n_tokens, width) = layout.shape().dims2()?;
        let head_dim = width / self.n_heads;
        let fits = head_dim * self.n_heads == width && *dim <= head_dim && cos.dim(0)? == n_tokens;
        let &[stride, 1] = layout.stride() else { candle_core::bail!("rope needs whole rows") };
        if !fits {
            candle_core::bail!("rope of {dim} cannot turn {n_tokens} rows of {} × {head_dim}", self.n_heads);
        }
        let x = &x.as_slice::<f32>()?[layout.start_offset()..];
        let mut out = vec![0f32; n_tokens * width];
        with_values(cos, |cos| {
            with_values(sin, |sin| {
                let table = RopeTable { pairing: *pairing, cos, sin, n_pairs: dim / 2 };
                tier0_kernels::rope(x, stride, &table, [self.n_heads, head_dim], &mut out);
                Ok(())
            })
        })?;
        Ok((CpuStorage::F32(out), (n_tokens, self.n_heads, head_dim).into()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The rotation by its definition.
    fn by_definition(spec: &RopeSpec, x: &[f32], position: usize) -> Vec<f32> {
        let mut out = x.to_vec();
        for i in 0..spec.dim / 2 {
            let divisor = spec.divisors.as_ref().map_or(1.0, |d| d[i]);
            let angle =
                position as f32 / spec.scale / divisor * spec.base.powf(-2.0 * i as f32 / spec.dim as f32);
            let (a, b) = match spec.pairing {
                Pairing::Interleaved => (2 * i, 2 * i + 1),
                Pairing::Neox => (i, i + spec.dim / 2),
            };
            out[a] = x[a] * angle.cos() - x[b] * angle.sin();
            out[b] = x[a] * angle.sin() + x[b] * angle.cos();
        }
        out
    }

    #[rstest]
    #[case(Pairing::Interleaved, 8, None)]
    #[case(Pairing::Neox, 8, None)]
    #[case(Pairing::Neox, 4, None)]
    #[case(Pairing::Interleaved, 8, Some(vec![1.0, 2.0, 4.0, 8.0]))]
    fn turns_as_defined(#[case] pairing: Pairing, #[case] dim: usize, #[case] divisors: Option<Vec<f32>>) {
        let spec = RopeSpec { pairing, dim, base: 100.0, scale: 2.0, divisors };
        let (n_heads, head_dim) = (3, 8);
        let positions = [0u32, 5, 2];
        let x: Vec<f32> =
            (0..positions.len() * n_heads * head_dim).map(|i| (i as f32 * 0.37).sin()).collect();
        let rope = Rope::new(&spec, 8, &Device::Cpu).unwrap();
        let rows = rope.at(&Tensor::new(&positions, &Device::Cpu).unwrap()).unwrap();
        let input = Tensor::from_vec(x.clone(), (positions.len(), n_heads * head_dim), &Device::Cpu).unwrap();
        let output = rows.rotate(&input, n_heads).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (i, head) in x.chunks(head_dim).enumerate() {
            let expected = by_definition(&spec, head, positions[i / n_heads] as usize);
            for (got, want) in output[i * head_dim..(i + 1) * head_dim].iter().zip(expected) {
                assert!((got - want).abs() < 1e-5, "{got} is not {want}");
            }
        }
    }
}
