// The cooperative matrices of lib/cooperative_tile.wgsl: 16 x 16, factors in half precision.

enable f16;
enable wgpu_cooperative_matrix;

const SIDE = 16u;
alias Factor = f16;
alias MatrixA = coop_mat16x16<f16, A>;
alias MatrixB = coop_mat16x16<f16, B>;
alias MatrixC = coop_mat16x16<f32, C>;
