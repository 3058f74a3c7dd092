//! The numeric kernels of tier0: plain slices in, plain slices out, no tensor library.
