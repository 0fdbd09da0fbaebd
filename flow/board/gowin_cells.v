// Cells of Gowin's GW5A for which yosys has no model, as far as its netlists of this chip use them.

// A block memory of 2,048 bytes of 8 or 9 bits, as yosys maps to it (share/gowin/brams_map_gw5a.v): both clocks are one, no
// output registers, no block select, a reset of the output is synchronous, or asynchronous and never used, and all words
// start at 0. A word of 1, 2 or 4 bits lies in a byte; a longer one has an enable for each byte, its lowest address bits.
module xnoreplay_block(
  input clk,
  input a_now, a_write, a_reset, b_now, b_write, b_reset,
  input [13:0] a_at, b_at,
  input [35:0] a_in, b_in,
  output reg [35:0] a_out, b_out
);
  parameter BYTE = 9, A = 9, B = 9, A_THROUGH = 0, B_THROUGH = 0, ASYNC = 0, WRONG = 0;
  reg [8:0] bytes [0:2047];
  integer i;
  initial begin
    for (i = 0; i < 2048; i = i + 1) bytes[i] = 0;
    a_out = 0;
    b_out = 0;
  end

  // The first byte of a word, how many it has, and which bits of one a short word covers.
  function [10:0] first(input integer width, input [13:0] at);
    first = width < 2 * BYTE ? at[13:3] : width < 4 * BYTE ? {at[13:4], 1'b0} : {at[13:5], 2'b00};
  endfunction
  function integer many(input integer width);
    many = width < 2 * BYTE ? 1 : width < 4 * BYTE ? 2 : 4;
  endfunction
  function [8:0] covered(input integer width, input [13:0] at);
    case (width)
      1: covered = 9'h1 << at[2:0];
      2: covered = 9'h3 << {at[2:1], 1'b0};
      4: covered = 9'hf << {at[2], 2'b00};
      default: covered = 9'h1ff;
    endcase
  endfunction
  function [2:0] shift(input integer width, input [13:0] at);
    case (width)
      1: shift = at[2:0];
      2: shift = {at[2:1], 1'b0};
      4: shift = {at[2], 2'b00};
      default: shift = 0;
    endcase
  endfunction
  // A byte after a write, and a word that lies in four bytes.
  function [8:0] after(input integer width, input [13:0] at, input [35:0] word, input integer k, input [8:0] old);
    reg [8:0] put;
    put = width < BYTE ? word[8:0] << shift(width, at) : word >> BYTE * k;
    after = many(width) > 1 && !at[k] ? old : old & ~covered(width, at) | put & covered(width, at);
  endfunction
  function [35:0] found(input integer width, input [13:0] at, input [35:0] four);
    integer k;
    found = 0;
    if (width < BYTE) found = {27'd0, (four[8:0] & covered(width, at)) >> shift(width, at)};
    else for (k = 0; k < many(width); k = k + 1) found = found | {27'd0, four[9 * k +: 9] & ((9'd1 << BYTE) - 9'd1)} << BYTE * k;
  endfunction

  wire [10:0] a_first = first(A, a_at), b_first = first(B, b_at);
  reg [35:0] a_old, b_old, a_new, b_new;
  always @* begin
    for (i = 0; i < 4; i = i + 1) begin
      a_old[9 * i +: 9] = bytes[a_first + i];
      b_old[9 * i +: 9] = bytes[b_first + i];
      a_new[9 * i +: 9] = after(A, a_at, a_in, i, a_old[9 * i +: 9]);
      b_new[9 * i +: 9] = after(B, b_at, b_in, i, b_old[9 * i +: 9]);
    end
  end
  always @(posedge clk) assert (!WRONG & ~(ASYNC & (a_reset | b_reset)));
  integer j;
  always @(posedge clk) begin
    if (a_now & a_write) for (j = 0; j < many(A); j = j + 1) bytes[a_first + j] <= a_new[9 * j +: 9];
    if (b_now & b_write) for (j = 0; j < many(B); j = j + 1) bytes[b_first + j] <= b_new[9 * j +: 9];
    if (a_reset) a_out <= 0;
    else if (a_now & (~a_write | A_THROUGH)) a_out <= found(A, a_at, a_write ? a_new : a_old);
    if (b_reset) b_out <= 0;
    else if (b_now & (~b_write | B_THROUGH)) b_out <= found(B, b_at, b_write ? b_new : b_old);
  end
endmodule

module SDPB(
  input CLKA, CEA, CLKB, CEB, OCE, RESET, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB, input [31:0] DI, output [31:0] DO
);
  parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 32, BIT_WIDTH_1 = 32, BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000, RESET_MODE = "SYNC";
  parameter [255:0] INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0;
  parameter [255:0] INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0;
  parameter [255:0] INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0, INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0;
  parameter [255:0] INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0;
  parameter [255:0] INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0;
  parameter [255:0] INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0;
  parameter [255:0] INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0;
  parameter [255:0] INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0;
  localparam STARTS = INIT_RAM_00 | INIT_RAM_01 | INIT_RAM_02 | INIT_RAM_03 | INIT_RAM_04 | INIT_RAM_05 | INIT_RAM_06 | INIT_RAM_07
    | INIT_RAM_08 | INIT_RAM_09 | INIT_RAM_0A | INIT_RAM_0B | INIT_RAM_0C | INIT_RAM_0D | INIT_RAM_0E | INIT_RAM_0F
    | INIT_RAM_10 | INIT_RAM_11 | INIT_RAM_12 | INIT_RAM_13 | INIT_RAM_14 | INIT_RAM_15 | INIT_RAM_16 | INIT_RAM_17
    | INIT_RAM_18 | INIT_RAM_19 | INIT_RAM_1A | INIT_RAM_1B | INIT_RAM_1C | INIT_RAM_1D | INIT_RAM_1E | INIT_RAM_1F
    | INIT_RAM_20 | INIT_RAM_21 | INIT_RAM_22 | INIT_RAM_23 | INIT_RAM_24 | INIT_RAM_25 | INIT_RAM_26 | INIT_RAM_27
    | INIT_RAM_28 | INIT_RAM_29 | INIT_RAM_2A | INIT_RAM_2B | INIT_RAM_2C | INIT_RAM_2D | INIT_RAM_2E | INIT_RAM_2F
    | INIT_RAM_30 | INIT_RAM_31 | INIT_RAM_32 | INIT_RAM_33 | INIT_RAM_34 | INIT_RAM_35 | INIT_RAM_36 | INIT_RAM_37
    | INIT_RAM_38 | INIT_RAM_39 | INIT_RAM_3A | INIT_RAM_3B | INIT_RAM_3C | INIT_RAM_3D | INIT_RAM_3E | INIT_RAM_3F;
  wire [35:0] word;
  assign DO = word[31:0];
  xnoreplay_block #(
    .BYTE(8), .A(BIT_WIDTH_0), .B(BIT_WIDTH_1),
    .ASYNC(RESET_MODE != "SYNC"),
    .WRONG(READ_MODE != 0 || BLK_SEL_0 != 0 || BLK_SEL_1 != 0 || STARTS != 0)
  ) block(
    .clk(CLKA), .a_now(CEA), .a_write(1'b1), .a_reset(1'b0), .a_at(ADA), .a_in({4'd0, DI}), .a_out(),
    .b_now(CEB), .b_write(1'b0), .b_reset(RESET), .b_at(ADB), .b_in(36'd0), .b_out(word)
  );
endmodule

module SDPX9B(
  input CLKA, CEA, CLKB, CEB, OCE, RESET, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB, input [35:0] DI, output [35:0] DO
);
  parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 36, BIT_WIDTH_1 = 36, BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000, RESET_MODE = "SYNC";
  parameter [287:0] INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0;
  parameter [287:0] INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0;
  parameter [287:0] INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0, INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0;
  parameter [287:0] INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0;
  parameter [287:0] INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0;
  parameter [287:0] INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0;
  parameter [287:0] INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0;
  parameter [287:0] INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0;
  localparam STARTS = INIT_RAM_00 | INIT_RAM_01 | INIT_RAM_02 | INIT_RAM_03 | INIT_RAM_04 | INIT_RAM_05 | INIT_RAM_06 | INIT_RAM_07
    | INIT_RAM_08 | INIT_RAM_09 | INIT_RAM_0A | INIT_RAM_0B | INIT_RAM_0C | INIT_RAM_0D | INIT_RAM_0E | INIT_RAM_0F
    | INIT_RAM_10 | INIT_RAM_11 | INIT_RAM_12 | INIT_RAM_13 | INIT_RAM_14 | INIT_RAM_15 | INIT_RAM_16 | INIT_RAM_17
    | INIT_RAM_18 | INIT_RAM_19 | INIT_RAM_1A | INIT_RAM_1B | INIT_RAM_1C | INIT_RAM_1D | INIT_RAM_1E | INIT_RAM_1F
    | INIT_RAM_20 | INIT_RAM_21 | INIT_RAM_22 | INIT_RAM_23 | INIT_RAM_24 | INIT_RAM_25 | INIT_RAM_26 | INIT_RAM_27
    | INIT_RAM_28 | INIT_RAM_29 | INIT_RAM_2A | INIT_RAM_2B | INIT_RAM_2C | INIT_RAM_2D | INIT_RAM_2E | INIT_RAM_2F
    | INIT_RAM_30 | INIT_RAM_31 | INIT_RAM_32 | INIT_RAM_33 | INIT_RAM_34 | INIT_RAM_35 | INIT_RAM_36 | INIT_RAM_37
    | INIT_RAM_38 | INIT_RAM_39 | INIT_RAM_3A | INIT_RAM_3B | INIT_RAM_3C | INIT_RAM_3D | INIT_RAM_3E | INIT_RAM_3F;
  wire [35:0] word;
  assign DO = word[35:0];
  xnoreplay_block #(
    .BYTE(9), .A(BIT_WIDTH_0), .B(BIT_WIDTH_1),
    .ASYNC(RESET_MODE != "SYNC"),
    .WRONG(READ_MODE != 0 || BLK_SEL_0 != 0 || BLK_SEL_1 != 0 || STARTS != 0)
  ) block(
    .clk(CLKA), .a_now(CEA), .a_write(1'b1), .a_reset(1'b0), .a_at(ADA), .a_in(DI), .a_out(),
    .b_now(CEB), .b_write(1'b0), .b_reset(RESET), .b_at(ADB), .b_in(36'd0), .b_out(word)
  );
endmodule

module DPB(
  input CLKA, CEA, CLKB, CEB, OCEA, OCEB, RESETA, RESETB, WREA, WREB, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB,
  input [15:0] DIA, DIB, output [15:0] DOA, DOB
);
  parameter READ_MODE0 = 1'b0, READ_MODE1 = 1'b0, WRITE_MODE0 = 2'b00, WRITE_MODE1 = 2'b00, BIT_WIDTH_0 = 16, BIT_WIDTH_1 = 16;
  parameter BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000, RESET_MODE = "SYNC";
  parameter [255:0] INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0;
  parameter [255:0] INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0;
  parameter [255:0] INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0, INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0;
  parameter [255:0] INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0;
  parameter [255:0] INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0;
  parameter [255:0] INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0;
  parameter [255:0] INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0;
  parameter [255:0] INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0;
  localparam STARTS = INIT_RAM_00 | INIT_RAM_01 | INIT_RAM_02 | INIT_RAM_03 | INIT_RAM_04 | INIT_RAM_05 | INIT_RAM_06 | INIT_RAM_07
    | INIT_RAM_08 | INIT_RAM_09 | INIT_RAM_0A | INIT_RAM_0B | INIT_RAM_0C | INIT_RAM_0D | INIT_RAM_0E | INIT_RAM_0F
    | INIT_RAM_10 | INIT_RAM_11 | INIT_RAM_12 | INIT_RAM_13 | INIT_RAM_14 | INIT_RAM_15 | INIT_RAM_16 | INIT_RAM_17
    | INIT_RAM_18 | INIT_RAM_19 | INIT_RAM_1A | INIT_RAM_1B | INIT_RAM_1C | INIT_RAM_1D | INIT_RAM_1E | INIT_RAM_1F
    | INIT_RAM_20 | INIT_RAM_21 | INIT_RAM_22 | INIT_RAM_23 | INIT_RAM_24 | INIT_RAM_25 | INIT_RAM_26 | INIT_RAM_27
    | INIT_RAM_28 | INIT_RAM_29 | INIT_RAM_2A | INIT_RAM_2B | INIT_RAM_2C | INIT_RAM_2D | INIT_RAM_2E | INIT_RAM_2F
    | INIT_RAM_30 | INIT_RAM_31 | INIT_RAM_32 | INIT_RAM_33 | INIT_RAM_34 | INIT_RAM_35 | INIT_RAM_36 | INIT_RAM_37
    | INIT_RAM_38 | INIT_RAM_39 | INIT_RAM_3A | INIT_RAM_3B | INIT_RAM_3C | INIT_RAM_3D | INIT_RAM_3E | INIT_RAM_3F;
  wire [35:0] a, b;
  assign DOA = a[15:0];
  assign DOB = b[15:0];
  xnoreplay_block #(
    .BYTE(8), .A(BIT_WIDTH_0), .B(BIT_WIDTH_1), .A_THROUGH(WRITE_MODE0), .B_THROUGH(WRITE_MODE1),
    .ASYNC(RESET_MODE != "SYNC"),
    .WRONG(READ_MODE0 != 0 || READ_MODE1 != 0 || BLK_SEL_0 != 0 || BLK_SEL_1 != 0 || STARTS != 0
      || WRITE_MODE0 > 1 || WRITE_MODE1 > 1)
  ) block(
    .clk(CLKA), .a_now(CEA), .a_write(WREA), .a_reset(RESETA), .a_at(ADA), .a_in({20'd0, DIA}), .a_out(a),
    .b_now(CEB), .b_write(WREB), .b_reset(RESETB), .b_at(ADB), .b_in({20'd0, DIB}), .b_out(b)
  );
endmodule

module DPX9B(
  input CLKA, CEA, CLKB, CEB, OCEA, OCEB, RESETA, RESETB, WREA, WREB, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB,
  input [17:0] DIA, DIB, output [17:0] DOA, DOB
);
  parameter READ_MODE0 = 1'b0, READ_MODE1 = 1'b0, WRITE_MODE0 = 2'b00, WRITE_MODE1 = 2'b00, BIT_WIDTH_0 = 18, BIT_WIDTH_1 = 18;
  parameter BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000, RESET_MODE = "SYNC";
  parameter [287:0] INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0;
  parameter [287:0] INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0;
  parameter [287:0] INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0, INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0;
  parameter [287:0] INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0;
  parameter [287:0] INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0;
  parameter [287:0] INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0;
  parameter [287:0] INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0;
  parameter [287:0] INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0;
  localparam STARTS = INIT_RAM_00 | INIT_RAM_01 | INIT_RAM_02 | INIT_RAM_03 | INIT_RAM_04 | INIT_RAM_05 | INIT_RAM_06 | INIT_RAM_07
    | INIT_RAM_08 | INIT_RAM_09 | INIT_RAM_0A | INIT_RAM_0B | INIT_RAM_0C | INIT_RAM_0D | INIT_RAM_0E | INIT_RAM_0F
    | INIT_RAM_10 | INIT_RAM_11 | INIT_RAM_12 | INIT_RAM_13 | INIT_RAM_14 | INIT_RAM_15 | INIT_RAM_16 | INIT_RAM_17
    | INIT_RAM_18 | INIT_RAM_19 | INIT_RAM_1A | INIT_RAM_1B | INIT_RAM_1C | INIT_RAM_1D | INIT_RAM_1E | INIT_RAM_1F
    | INIT_RAM_20 | INIT_RAM_21 | INIT_RAM_22 | INIT_RAM_23 | INIT_RAM_24 | INIT_RAM_25 | INIT_RAM_26 | INIT_RAM_27
    | INIT_RAM_28 | INIT_RAM_29 | INIT_RAM_2A | INIT_RAM_2B | INIT_RAM_2C | INIT_RAM_2D | INIT_RAM_2E | INIT_RAM_2F
    | INIT_RAM_30 | INIT_RAM_31 | INIT_RAM_32 | INIT_RAM_33 | INIT_RAM_34 | INIT_RAM_35 | INIT_RAM_36 | INIT_RAM_37
    | INIT_RAM_38 | INIT_RAM_39 | INIT_RAM_3A | INIT_RAM_3B | INIT_RAM_3C | INIT_RAM_3D | INIT_RAM_3E | INIT_RAM_3F;
  wire [35:0] a, b;
  assign DOA = a[17:0];
  assign DOB = b[17:0];
  xnoreplay_block #(
    .BYTE(9), .A(BIT_WIDTH_0), .B(BIT_WIDTH_1), .A_THROUGH(WRITE_MODE0), .B_THROUGH(WRITE_MODE1),
    .ASYNC(RESET_MODE != "SYNC"),
    .WRONG(READ_MODE0 != 0 || READ_MODE1 != 0 || BLK_SEL_0 != 0 || BLK_SEL_1 != 0 || STARTS != 0
      || WRITE_MODE0 > 1 || WRITE_MODE1 > 1)
  ) block(
    .clk(CLKA), .a_now(CEA), .a_write(WREA), .a_reset(RESETA), .a_at(ADA), .a_in({18'd0, DIA}), .a_out(a),
    .b_now(CEB), .b_write(WREB), .b_reset(RESETB), .b_at(ADB), .b_in({18'd0, DIB}), .b_out(b)
  );
endmodule
