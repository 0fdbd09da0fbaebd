// A netlist in place of the class that Verilator makes of a design: pins as members, and `eval`, which lets it follow them.
// Only what moves is worked out: a gate when an input of it has changed, a flip-flop when its input has, and a word that a
// memory shows when its address, or a row of the memory, has. `words` of gates.py describes the file.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

class Vtop {
  public:
    uint8_t clk = 1, button = 0, uart_rx = 0, uart_tx = 0;

    explicit Vtop(const char *name) {
        read_file(name);
        value.assign(word(), 0);
        value[1] = 1;
        net_button = word(), net_rx = word(), net_tx = word();
        std::vector<std::vector<Sink>> to(value.size());
        build_gates(to);
        build_flops(to);
        build_memories(to);
        for (const auto &one : to) {
            first.push_back(sinks.size());
            sinks.insert(sinks.end(), one.begin(), one.end());
        }
        first.push_back(sinks.size());
        for (uint32_t i = 0; i < gates.size(); i++) wait(i, gates[i].level);
        for (uint32_t i = 0; i < reads.size(); i++) wait(gates.size() + i, reads[i].level);
        settle();
    }

    void eval() {
        put(net_button, button);
        put(net_rx, uart_rx);
        settle();
        if (clk && !before) edge();
        before = clk;
        uart_tx = value[net_tx];
    }

    void final() {}

  private:
    enum Kind : uint32_t { NODE, FLOP, ENABLE };
    struct Sink {  // what a net drives: a gate or read port, a flip-flop, or an enable of a write port
        uint32_t kind : 2, level : 30, index;
    };
    struct Gate {
        uint32_t in[4], out, gives, level;
    };
    struct Flop {
        uint32_t d, q;
    };
    struct Memory {
        uint32_t rows, width;
        std::vector<uint8_t> bits;
        std::vector<uint32_t> reads;
    };
    struct Port {
        uint32_t memory, level;
        std::vector<uint32_t> address, data, enable;  // nets
        uint32_t enabled;                             // bits of `enable` that are 1
    };
    struct Write {
        uint32_t memory, place;
        uint8_t bit;
    };

    std::vector<uint32_t> words;
    size_t at = 0;
    std::vector<uint8_t> value;      // of each net
    std::vector<uint32_t> first;     // of each net's sinks; the last is before the next net's first
    std::vector<Sink> sinks;
    std::vector<Gate> gates;
    std::vector<Flop> flops;
    std::vector<Memory> memories;
    std::vector<Port> reads, writes;
    // Nodes, gates and after them read ports, that are to be worked out: by their level, and whether each is one.
    std::vector<std::vector<uint32_t>> waiting;
    std::vector<uint8_t> waits;
    uint32_t lowest = 0;
    std::vector<uint32_t> moved;     // flip-flops whose input has changed since the last edge, and whether each is one
    std::vector<uint8_t> moves;
    std::vector<uint32_t> open;      // write ports with an enable
    std::vector<uint32_t> changed;
    std::vector<Write> written;
    uint32_t net_button, net_rx, net_tx;
    uint8_t before = 1;

    void read_file(const char *name) {
        std::FILE *file = std::fopen(name, "rb");
        if (!file) std::exit(5);
        for (uint8_t b[4]; std::fread(b, 1, 4, file) == 4;)
            words.push_back(b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24);
        std::fclose(file);
    }
    uint32_t word() {
        if (at == words.size()) std::exit(5);
        return words[at++];
    }
    std::vector<uint32_t> several(uint32_t n) {
        std::vector<uint32_t> found(n);
        for (auto &one : found) one = word();
        return found;
    }

    void build_gates(std::vector<std::vector<Sink>> &to) {
        gates.resize(word());
        for (uint32_t i = 0; i < gates.size(); i++) {
            Gate &gate = gates[i];
            for (auto &net : gate.in) net = word();
            gate.out = word(), gate.gives = word(), gate.level = word();
            for (auto net : gate.in) to[net].push_back({NODE, gate.level, i});
            make_level(gate.level);
        }
    }
    void build_flops(std::vector<std::vector<Sink>> &to) {
        flops.resize(word());
        moves.resize(flops.size());
        for (uint32_t i = 0; i < flops.size(); i++) {
            flops[i].d = word(), flops[i].q = word();
            value[flops[i].q] = word();
            to[flops[i].d].push_back({FLOP, 0, i});
            move(i);
        }
    }
    void build_memories(std::vector<std::vector<Sink>> &to) {
        memories.resize(word());
        for (uint32_t m = 0; m < memories.size(); m++) {
            Memory &memory = memories[m];
            memory.rows = word(), memory.width = word();
            const uint32_t bits = word();
            memory.bits.assign(static_cast<size_t>(memory.rows) * memory.width, 0);
            for (uint32_t n = word(); n; n--) memory.bits.at(word()) = 1;
            for (uint32_t n = word(); n; n--) {
                const uint32_t i = reads.size();
                Port port{m, word(), several(bits), several(memory.width), {}, 0};
                for (uint32_t net : port.address) to[net].push_back({NODE, port.level, static_cast<uint32_t>(gates.size()) + i});
                make_level(port.level);
                memory.reads.push_back(i);
                reads.push_back(port);
            }
            for (uint32_t n = word(); n; n--) {
                const uint32_t i = writes.size();
                writes.push_back({m, 0, several(bits), several(memory.width), several(memory.width), 0});
                for (uint32_t net : writes[i].enable) {
                    to[net].push_back({ENABLE, 0, i});
                    if (value[net]) enable(i, true);
                }
            }
        }
    }
    void make_level(uint32_t level) {
        if (level >= waiting.size()) waiting.resize(level + 1);
        waits.push_back(0);
    }

    void wait(uint32_t node, uint32_t level) {
        if (waits[node]) return;
        waits[node] = 1;
        waiting[level].push_back(node);
        lowest = std::min(lowest, level);
    }
    void move(uint32_t flop) {
        if (moves[flop]) return;
        moves[flop] = 1;
        moved.push_back(flop);
    }
    void enable(uint32_t index, bool on) {
        Port &port = writes[index];
        if (on && port.enabled++ == 0) open.push_back(index);
        if (!on && --port.enabled == 0) open.erase(std::find(open.begin(), open.end(), index));
    }

    void put(uint32_t net, uint8_t now) {
        if (value[net] == now) return;
        value[net] = now;
        for (uint32_t i = first[net]; i < first[net + 1]; i++) {
            const Sink sink = sinks[i];
            if (sink.kind == NODE) wait(sink.index, sink.level);
            else if (sink.kind == FLOP) move(sink.index);
            else enable(sink.index, now);
        }
    }

    uint32_t row(const Port &port) const {
        uint32_t found = 0;
        for (size_t i = 0; i < port.address.size(); i++) found |= static_cast<uint32_t>(value[port.address[i]]) << i;
        return found;
    }

    void settle() {
        for (; lowest < waiting.size(); lowest++) {
            auto &nodes = waiting[lowest];  // what these drive has a higher level
            for (const uint32_t node : nodes) {
                waits[node] = 0;
                if (node < gates.size()) {
                    const Gate &gate = gates[node];
                    const unsigned in = value[gate.in[0]] | value[gate.in[1]] << 1 | value[gate.in[2]] << 2 | value[gate.in[3]] << 3;
                    put(gate.out, gate.gives >> in & 1);
                } else {
                    const Port &port = reads[node - gates.size()];
                    const Memory &memory = memories[port.memory];
                    const uint32_t at = row(port);
                    for (uint32_t i = 0; i < memory.width; i++)
                        put(port.data[i], at < memory.rows && memory.bits[static_cast<size_t>(at) * memory.width + i]);
                }
            }
            nodes.clear();
        }
    }

    // All is read as it was before the edge, and then written. Of two ports of a memory the later one wins.
    void edge() {
        written.clear();
        changed.clear();
        std::sort(open.begin(), open.end());
        for (uint32_t index : open) {
            const Port &port = writes[index];
            const Memory &memory = memories[port.memory];
            const uint32_t at = row(port);
            if (at >= memory.rows) continue;
            for (uint32_t i = 0; i < memory.width; i++)
                if (value[port.enable[i]]) written.push_back({port.memory, at * memory.width + i, value[port.data[i]]});
        }
        for (uint32_t index : moved) {
            const Flop &flop = flops[index];
            moves[index] = 0;
            if (value[flop.d] != value[flop.q]) changed.push_back(flop.q);
        }
        moved.clear();
        for (const Write &one : written) {
            Memory &memory = memories[one.memory];
            if (memory.bits[one.place] == one.bit) continue;
            memory.bits[one.place] = one.bit;
            for (uint32_t index : memory.reads) wait(gates.size() + index, reads[index].level);
        }
        for (uint32_t q : changed) put(q, !value[q]);
        settle();
    }
};
