// The cooperative matrices of lib/cooperative_tile.wgsl: 8 x 8, all in single precision.

enable wgpu_cooperative_matrix;

const SIDE = 8u;
alias Factor = f32;
alias MatrixA = coop_mat8x8<f32, A>;
alias MatrixB = coop_mat8x8<f32, B>;
alias MatrixC = coop_mat8x8<f32, C>;
