// The cooperative matrices of lib/cooperative_tile.wgsl: 8 x 8, factors in half precision.

enable f16;
enable wgpu_cooperative_matrix;

const SIDE = 8u;
alias Factor = f16;
alias MatrixA = coop_mat8x8<f16, A>;
alias MatrixB = coop_mat8x8<f16, B>;
alias MatrixC = coop_mat8x8<f32, C>;
