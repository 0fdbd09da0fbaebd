// Cells of ECP5 for which yosys has no model, as far as its netlists of this chip use them.

// A PLL: what the input is in a simulation is taken for the clock that the PLL makes, and right from the 100th edge on.
module EHXPLLL(
  input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC, ENCLKOP, ENCLKOS,
  output CLKOP, CLKOS, LOCK
);
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 8, CLKOS_DIV = 8, CLKOP_CPHASE = 0, CLKOS_CPHASE = 0;
  parameter CLKOP_ENABLE = "ENABLED", CLKOS_ENABLE = "DISABLED", FEEDBK_PATH = "CLKOP";
  reg [6:0] edges = 0;
  always @(posedge CLKI) if (edges != 100) edges <= edges + 1;
  assign CLKOP = CLKI;
  assign CLKOS = CLKI;
  assign LOCK = edges == 100;
endmodule

// A block memory of 16,384 + 2,048 bits, from Lattice FPGA-TN-02204, ECP5 Memory Usage Guide, and yosys' own mapping to
// it (share/ecp5/brams_map.v): both clocks are one, no output registers, no chip select, a reset of the output is
// synchronous, or asynchronous and never used. A row has 18 bits; a word of 9, 4, 2 or 1 lies in half of one, a word of 36 in two.
module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, GSR = "AUTO";
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0;
  parameter [319:0] INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0, INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0;
  parameter [319:0] INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0, INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0;
  parameter [319:0] INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0;
  parameter [319:0] INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0, INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0;
  parameter [319:0] INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0;
  parameter [319:0] INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0;
  parameter [319:0] INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0, INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;
  reg [17:0] rows [0:1023];
  integer i;
  initial begin
    for (i = 0; i < 16; i = i + 1) rows[0 + i] = INITVAL_00[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[16 + i] = INITVAL_01[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[32 + i] = INITVAL_02[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[48 + i] = INITVAL_03[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[64 + i] = INITVAL_04[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[80 + i] = INITVAL_05[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[96 + i] = INITVAL_06[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[112 + i] = INITVAL_07[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[128 + i] = INITVAL_08[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[144 + i] = INITVAL_09[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[160 + i] = INITVAL_0A[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[176 + i] = INITVAL_0B[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[192 + i] = INITVAL_0C[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[208 + i] = INITVAL_0D[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[224 + i] = INITVAL_0E[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[240 + i] = INITVAL_0F[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[256 + i] = INITVAL_10[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[272 + i] = INITVAL_11[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[288 + i] = INITVAL_12[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[304 + i] = INITVAL_13[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[320 + i] = INITVAL_14[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[336 + i] = INITVAL_15[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[352 + i] = INITVAL_16[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[368 + i] = INITVAL_17[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[384 + i] = INITVAL_18[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[400 + i] = INITVAL_19[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[416 + i] = INITVAL_1A[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[432 + i] = INITVAL_1B[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[448 + i] = INITVAL_1C[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[464 + i] = INITVAL_1D[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[480 + i] = INITVAL_1E[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[496 + i] = INITVAL_1F[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[512 + i] = INITVAL_20[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[528 + i] = INITVAL_21[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[544 + i] = INITVAL_22[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[560 + i] = INITVAL_23[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[576 + i] = INITVAL_24[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[592 + i] = INITVAL_25[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[608 + i] = INITVAL_26[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[624 + i] = INITVAL_27[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[640 + i] = INITVAL_28[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[656 + i] = INITVAL_29[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[672 + i] = INITVAL_2A[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[688 + i] = INITVAL_2B[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[704 + i] = INITVAL_2C[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[720 + i] = INITVAL_2D[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[736 + i] = INITVAL_2E[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[752 + i] = INITVAL_2F[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[768 + i] = INITVAL_30[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[784 + i] = INITVAL_31[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[800 + i] = INITVAL_32[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[816 + i] = INITVAL_33[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[832 + i] = INITVAL_34[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[848 + i] = INITVAL_35[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[864 + i] = INITVAL_36[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[880 + i] = INITVAL_37[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[896 + i] = INITVAL_38[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[912 + i] = INITVAL_39[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[928 + i] = INITVAL_3A[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[944 + i] = INITVAL_3B[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[960 + i] = INITVAL_3C[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[976 + i] = INITVAL_3D[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[992 + i] = INITVAL_3E[20 * i +: 18];
    for (i = 0; i < 16; i = i + 1) rows[1008 + i] = INITVAL_3F[20 * i +: 18];
  end
  always @(posedge CLKA)
    assert (REGMODE_A == "NOREG" && REGMODE_B == "NOREG" && CLKAMUX == "CLKA" && CLKBMUX == "CLKB"
      && CSDECODE_A == "0b000" && CSDECODE_B == "0b000");
  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
  reg [17:0] doa = 0, dob = 0;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = doa;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = dob;

  // Bits of a row that a word covers, and where it begins.
  function [17:0] span(input integer width, input [3:0] low);
    case (width)
      18, 36: span = {{9{low[1]}}, {9{low[0]}}};
      9: span = 18'h1ff;
      4: span = 18'hf;
      2: span = 18'h3;
      default: span = 18'h1;
    endcase
  endfunction
  function [4:0] begins(input integer width, input [3:0] low);
    case (width)
      18, 36: begins = 0;
      9: begins = low[3] ? 9 : 0;
      4: begins = (low[3] ? 9 : 0) + 4 * low[2];
      2: begins = (low[3] ? 9 : 0) + 2 * low[2:1];
      default: begins = (low[3] ? 9 : 0) + low[2:0];
    endcase
  endfunction
  function [17:0] written(input integer width, input [3:0] low, input [17:0] row, input [17:0] word);
    written = row & ~(span(width, low) << begins(width, low)) | (word & span(width, low)) << begins(width, low);
  endfunction
  function [17:0] found(input integer width, input [3:0] low, input [17:0] row);
    found = width >= 18 ? row : row >> begins(width, low) & span(width, low);
  endfunction

  always @(posedge CLKA) assert (RESETMODE == "SYNC" | ~(RSTA | RSTB));

  wire now_a = CEA & WEA & ~RSTA, now_b = CEB & WEB & ~RSTB;  // a reset of the output stops a write, too
  wire [17:0] row_a = rows[ada[13:4]], row_b = rows[adb[13:4]];
  wire [17:0] new_a = written(DATA_WIDTH_A, ada[3:0], row_a, dia), new_b = written(DATA_WIDTH_B, adb[3:0], row_b, dib);
  always @(posedge CLKA) begin
    if (now_a & DATA_WIDTH_A != 36) rows[ada[13:4]] <= new_a;
    if (now_a & DATA_WIDTH_A == 36) begin
      rows[{ada[13:5], 1'b0}] <= written(36, ada[3:0], rows[{ada[13:5], 1'b0}], dia);
      rows[{ada[13:5], 1'b1}] <= written(36, ada[3:0] >> 2, rows[{ada[13:5], 1'b1}], dib);
    end
    if (now_b & DATA_WIDTH_B != 36) rows[adb[13:4]] <= new_b;
  end
  // Port B of 36 bits reads its low half at DOA.
  always @(posedge CLKA)
    if (DATA_WIDTH_B == 36) begin
      if (RSTB) doa <= 0;
      else if (CEB) doa <= rows[{adb[13:5], 1'b0}];
    end else if (RSTA) doa <= 0;
    else if (CEA)
      if (!WEA | WRITEMODE_A == "READBEFOREWRITE") doa <= found(DATA_WIDTH_A, ada[3:0], row_a);
      else if (WRITEMODE_A == "WRITETHROUGH") doa <= found(DATA_WIDTH_A, ada[3:0], new_a);
  always @(posedge CLKB)
    if (RSTB) dob <= 0;
    else if (CEB)
      if (DATA_WIDTH_B == 36) dob <= rows[{adb[13:5], 1'b1}];
      else if (!WEB | WRITEMODE_B == "READBEFOREWRITE") dob <= found(DATA_WIDTH_B, adb[3:0], row_b);
      else if (WRITEMODE_B == "WRITETHROUGH") dob <= found(DATA_WIDTH_B, adb[3:0], new_b);
endmodule

// A multiplier as yosys maps to it (share/ecp5/dsp_map.v): no registers, no cascade.
module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire signed [35:0] wide_a = {{18{SIGNEDA & a[17]}}, a}, wide_b = {{18{SIGNEDB & b[17]}}, b};
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = wide_a * wide_b;
endmodule
