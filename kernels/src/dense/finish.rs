//! What happens to the sums of a panel on their way out.

use crate::{cpu::vectorised, gelu::gelu_plain};

/// The sums of a panel, and what is added to each: `sums` is `[n_rows][stride]`; `bias` is as long as
/// there are weight rows, at most `stride`, or empty.
#[derive(Debug)]
pub(super) struct Sums<'a> {
    pub(super) sums: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) bias: &'a [f32],
}

/// Where a panel's elements lie in a matrix: some columns of some rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    start: *mut f32,
    stride: usize,
    n_columns: usize,
}

impl Place {
    /// The place whose first element is at `start`, in a matrix of rows of `stride`.
    ///
    /// # Safety
    /// While the place is used, the matrix stands and nobody else uses these columns of as many rows as
    /// there are sums for.
    pub(super) unsafe fn new(start: *mut f32, stride: usize, n_columns: usize) -> Self {
        Self { start, stride, n_columns }
    }

    /// The columns of row `row`, of which there are sums.
    #[inline(always)]
    fn row<'a>(self, row: usize) -> &'a mut [f32] {
        // SAFETY: what `new` asks for; each row is taken once.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.n_columns) }
    }
}

vectorised! {
    /// Writes the sums with their bias.
    pub(super) fn write(sums: &Sums<'_>, place: Place) = write_plain;
}

#[inline(always)]
fn write_plain(sums: &Sums<'_>, place: Place) {
    for (row, sums_of_row) in sums.sums.chunks_exact(sums.stride).enumerate() {
        let out = place.row(row);
        if sums.bias.is_empty() {
            out.copy_from_slice(&sums_of_row[..out.len()]);
        } else {
            for ((out, sum), bias) in out.iter_mut().zip(sums_of_row).zip(sums.bias) {
                *out = sum + bias;
            }
        }
    }
}

vectorised! {
    /// Adds the sums with their bias to what is there.
    pub(super) fn add(sums: &Sums<'_>, place: Place) = add_plain;
}

#[inline(always)]
fn add_plain(sums: &Sums<'_>, place: Place) {
    for (row, sums_of_row) in sums.sums.chunks_exact(sums.stride).enumerate() {
        let out = place.row(row);
        if sums.bias.is_empty() {
            out.iter_mut().zip(sums_of_row).for_each(|(out, sum)| *out += sum);
        } else {
            for ((out, sum), bias) in out.iter_mut().zip(sums_of_row).zip(sums.bias) {
                *out += sum + bias;
            }
        }
    }
}

vectorised! {
    /// GELU of the sums with their bias, in place.
    pub(super) fn gelu(sums: &mut Sums<'_>) = gelu_in_place;
}

#[inline(always)]
fn gelu_in_place(sums: &mut Sums<'_>) {
    for row in sums.sums.chunks_exact_mut(sums.stride) {
        row.iter_mut().zip(sums.bias).for_each(|(sum, bias)| *sum += bias);
        row.iter_mut().for_each(|sum| *sum = gelu_plain(*sum));
    }
}
