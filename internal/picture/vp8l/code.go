package vp8l

import (
	"cmp"
	"math/bits"
	"slices"
)

const (
	maxLength     = 15 // of a code word
	maxMetaLength = 7  // of a code word for lengths
)

// metaOrder is the order in which the lengths of the code for lengths are written: those at the end are often unused.
var metaOrder = [19]int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// code is a canonical prefix code. Where one symbol or none is used its word is empty.
type code struct {
	lengths []uint8
	words   []uint16 // first bit lowest
	used    int
	only    int // the symbol, where used is 1
}

func newCode(counts []int) code {
	c := prefixCode(counts, maxLength)
	for symbol, n := range counts {
		if n > 0 {
			c.used++
			c.only = symbol
		}
	}
	return c
}

// prefixCode gives every symbol that occurs a word of at most limit bits.
func prefixCode(counts []int, limit uint8) code {
	c := code{lengths: make([]uint8, len(counts)), words: make([]uint16, len(counts))}
	// The more alike the counts are taken to be, the flatter the tree: once all are the same it is no deeper than the
	// logarithm of their number, which is below every limit here.
	for floor := 1; !huffman(c.lengths, counts, floor, limit); floor *= 2 {
	}
	var count, next [maxLength + 1]uint16
	for _, l := range c.lengths {
		if l > 0 {
			count[l]++
		}
	}
	for l := 1; l < len(next); l++ {
		next[l] = (next[l-1] + count[l-1]) << 1
	}
	for symbol, l := range c.lengths {
		if l > 0 {
			c.words[symbol] = bits.Reverse16(next[l]) >> (16 - l)
			next[l]++
		}
	}
	return c
}

type node struct{ weight, symbol, parent int }

// huffman fills in the lengths of the best code for the counts, each taken as at least floor, and reports whether all
// are within limit.
func huffman(lengths []uint8, counts []int, floor int, limit uint8) bool {
	var nodes []node
	for symbol, n := range counts {
		if n > 0 {
			nodes = append(nodes, node{weight: max(n, floor), symbol: symbol})
		}
	}
	slices.SortStableFunc(nodes, func(a, b node) int { return cmp.Compare(a.weight, b.weight) })
	// Joined nodes come out in order of weight, so the lightest is always at the head of one of two queues.
	leaves := len(nodes)
	leaf, joined := 0, leaves
	lightest := func() *node {
		if leaf < leaves && (joined == len(nodes) || nodes[leaf].weight <= nodes[joined].weight) {
			leaf++
			return &nodes[leaf-1]
		}
		joined++
		return &nodes[joined-1]
	}
	for range leaves - 1 {
		a, b := lightest(), lightest()
		a.parent, b.parent = len(nodes), len(nodes)
		nodes = append(nodes, node{weight: a.weight + b.weight})
	}
	depths := make([]int, len(nodes))
	for i := len(nodes) - 2; i >= 0; i-- { // the last is the root
		depths[i] = depths[nodes[i].parent] + 1
		if depths[i] > int(limit) {
			return false
		}
		if i < leaves {
			lengths[nodes[i].symbol] = uint8(depths[i]) //nolint:gosec // at most limit
		}
	}
	return true
}

// code writes the lengths of c's words, from which a reader makes the words.
func (w *bitWriter) code(c code) {
	if c.used <= 1 {
		w.bits(1, 1)              // the short form
		w.bits(0, 1)              // of one symbol
		w.bits(1, 1)              // in eight bits
		w.bits(uint32(c.only), 8) //nolint:gosec // below 256, says the caller
		return
	}
	w.bits(0, 1)
	var counts [len(metaOrder)]int
	counts[0]++ // a code of one symbol has no lengths to write: with this there are always two
	for _, l := range c.lengths {
		counts[l]++
	}
	meta := prefixCode(counts[:], maxMetaLength)
	n := len(metaOrder)
	for n > 4 && meta.lengths[metaOrder[n-1]] == 0 {
		n--
	}
	w.bits(uint32(n-4), 4)
	for _, l := range metaOrder[:n] {
		w.bits(uint32(meta.lengths[l]), 3)
	}
	w.bits(0, 1) // the lengths of all symbols follow
	for _, l := range c.lengths {
		w.symbol(meta, int(l))
	}
}

// symbol writes one symbol's word.
func (w *bitWriter) symbol(c code, symbol int) {
	w.bits(uint32(c.words[symbol]), uint(c.lengths[symbol]))
}

// bitWriter writes bits, the lowest first.
type bitWriter struct {
	out     []byte
	pending uint64
	count   uint // of bits in pending
}

// bits writes the lowest n bits of v, which has no others; n is at most 32.
func (w *bitWriter) bits(v uint32, n uint) {
	w.pending |= uint64(v) << w.count
	w.count += n
	for w.count >= 8 {
		w.out = append(w.out, byte(w.pending)) //nolint:gosec // the lowest eight bits are meant
		w.pending >>= 8
		w.count -= 8
	}
}

// flush returns all that was written, filled up to a whole byte.
func (w *bitWriter) flush() []byte {
	if w.count > 0 {
		w.bits(0, 8-w.count)
	}
	return w.out
}
