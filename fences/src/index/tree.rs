//! Cells within cells: each holds the fences that cover it whole, and, where it is
//! not divided further, the pieces of those that cover it in part.
//!
//! A look walks from a coarse cell down through nodes of eight bytes, most of
//! which have nothing else to read, to one block of memory.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::blocks::{Blocks, Head, pieces};
use super::cell::{CHILDREN, Cell, DEPTH_MAX, Rect, Spot};
use super::piece::{Cover, Kind, Numbers, Piece, Probe};

/// A cell with more rows to check than this is divided...
const ROWS_PER_CELL: usize = 24;
/// ...with twice as many at each depth below this: edges that are still together
/// in a cell of 80 metres may lie on each other, and dividing parts them no more.
const DEPTH_DIVIDED_FREELY: u32 = 4;
/// Pieces hold at most this many times the numbers of the shapes themselves, so
/// that fences on top of each other cannot fill the memory...
const NUMBERS_SHARE_MAX: usize = 2;
/// ...beyond so many, which any set of fences may have.
const NUMBERS_FREE: usize = 1 << 18;

#[derive(Default)]
pub(super) struct Tree {
    roots: HashMap<u32, u32, RandomState>,
    nodes: Vec<Node>,
    /// First nodes of groups of [`CHILDREN`] that are not used any more.
    free: Vec<u32>,
    blocks: Blocks,
    /// Of all shapes, and of all pieces.
    numbers_in: usize,
    numbers_held: usize,
}

/// A cell.
#[derive(Clone, Copy, Default)]
struct Node {
    /// First of its children; 0: it is not divided.
    children: u32,
    /// What it holds; 0: nothing.
    block: u32,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children == 0 && self.block == 0
    }
}

fn rows_max(depth: u32) -> usize {
    ROWS_PER_CELL << depth.saturating_sub(DEPTH_DIVIDED_FREELY)
}

impl Tree {
    /// Adds a piece of `fence` that lies within `bounds`.
    pub(super) fn insert(&mut self, fence: u32, piece: &Piece, bounds: &Rect) {
        self.numbers_in += piece.numbers.len();
        for key in bounds.roots() {
            let node = match self.roots.get(&key) {
                Some(node) => *node,
                None => {
                    let node = self.new_nodes();
                    self.roots.insert(key, node);
                    node
                }
            };
            let cell = Cell::root(key);
            self.insert_into(node, cell, fence, piece.kind, &piece.numbers, bounds);
        }
    }

    fn insert_into(
        &mut self,
        node: u32,
        cell: Cell,
        fence: u32,
        kind: Kind,
        numbers: &[Numbers],
        bounds: &Rect,
    ) {
        let rect = cell.rect();
        if !rect.overlaps(bounds) {
            return;
        }
        let Node { children, block } = self.nodes[node as usize];
        let piece = match Piece::within(kind, numbers, &rect) {
            Cover::None => return,
            Cover::All => {
                let mut content = self.blocks.take_out(block);
                content.covering.push(fence);
                self.nodes[node as usize].block = self.blocks.put_back(block, &content);
                return;
            }
            Cover::Part(piece) => piece,
        };
        if children != 0 {
            for number in 0..CHILDREN {
                let (child, below) = (children + number as u32, cell.child(number));
                self.insert_into(child, below, fence, piece.kind, &piece.numbers, bounds);
            }
            return;
        }
        let head = Head {
            fence,
            count: piece.numbers.len(),
            kind: piece.kind,
        };
        self.numbers_held += piece.numbers.len();
        let mut content = self.blocks.take_out(block);
        content.pieces.push(head.pack());
        content.pieces.extend_from_slice(&piece.numbers);
        if content.pieces.len() > rows_max(cell.depth) && self.may_divide(cell) {
            let held = std::mem::take(&mut content.pieces);
            self.nodes[node as usize].block = self.blocks.put_back(block, &content);
            self.divide(node, cell, &held);
        } else {
            self.nodes[node as usize].block = self.blocks.put_back(block, &content);
        }
    }

    fn may_divide(&self, cell: Cell) -> bool {
        let numbers_max = NUMBERS_FREE.max(self.numbers_in.saturating_mul(NUMBERS_SHARE_MAX));
        cell.depth < DEPTH_MAX && self.numbers_held <= numbers_max
    }

    /// Hands the pieces that a cell held to its children, and so on where those
    /// are too full.
    fn divide(&mut self, node: u32, cell: Cell, held: &[Numbers]) {
        let children = self.new_nodes();
        self.nodes[node as usize].children = children;
        let rect = cell.rect();
        for (head, numbers) in pieces(held) {
            self.numbers_held -= numbers.len();
            for number in 0..CHILDREN {
                let (child, below) = (children + number as u32, cell.child(number));
                self.insert_into(child, below, head.fence, head.kind, numbers, &rect);
            }
        }
    }

    /// Removes `fence`, whose pieces lie within `bounds` and have `numbers` in all.
    pub(super) fn remove(&mut self, fence: u32, numbers: usize, bounds: &[Rect]) {
        self.numbers_in = self.numbers_in.saturating_sub(numbers);
        for rect in bounds {
            for key in rect.roots() {
                let Some(node) = self.roots.get(&key).copied() else {
                    continue;
                };
                self.remove_from(node, Cell::root(key), fence, rect);
                if self.nodes[node as usize].is_empty() {
                    self.roots.remove(&key);
                    self.free.push(node);
                }
            }
        }
    }

    fn remove_from(&mut self, node: u32, cell: Cell, fence: u32, bounds: &Rect) {
        // Circles and corridors may have left a piece in a cell next to them, as
        // distances of cells are taken too short rather than too long.
        if !cell.rect().with_neighbours().overlaps(bounds) {
            return;
        }
        let Node { children, block } = self.nodes[node as usize];
        if block != 0 {
            self.nodes[node as usize].block = self.remove_from_block(block, fence);
        }
        if children == 0 {
            return;
        }
        for number in 0..CHILDREN {
            self.remove_from(children + number as u32, cell.child(number), fence, bounds);
        }
        let all = children as usize..children as usize + CHILDREN;
        if self.nodes[all].iter().all(Node::is_empty) {
            self.nodes[node as usize].children = 0;
            self.free.push(children);
        }
    }

    fn remove_from_block(&mut self, block: u32, fence: u32) -> u32 {
        let mut content = self.blocks.take_out(block);
        let before = (content.covering.len(), content.pieces.len());
        content.covering.retain(|other| *other != fence);
        let mut kept = Vec::with_capacity(content.pieces.len());
        for (head, numbers) in pieces(&content.pieces) {
            if head.fence == fence {
                self.numbers_held -= numbers.len();
            } else {
                kept.push(head.pack());
                kept.extend_from_slice(numbers);
            }
        }
        content.pieces = kept;
        match before == (content.covering.len(), content.pieces.len()) {
            true => block,
            false => self.blocks.put_back(block, &content),
        }
    }

    /// Nodes of a cell's children, or one of a coarsest cell. Never number 0.
    fn new_nodes(&mut self) -> u32 {
        if let Some(first) = self.free.pop() {
            return first;
        }
        let first = self.nodes.len().max(CHILDREN);
        self.nodes.resize(first + CHILDREN, Node::default());
        first as u32
    }

    /// Appends every fence that contains the probe's place; a fence of several
    /// pieces may come more than once.
    pub(super) fn containing(&self, spot: Spot, probe: &mut Probe, out: &mut Vec<u32>) {
        let Some(root) = self.roots.get(&spot.root()) else {
            return;
        };
        let mut node = self.nodes[*root as usize];
        let mut depth = 0;
        while node.children != 0 {
            if node.block != 0 {
                let (rows, count, _) = self.blocks.parts(node.block);
                Blocks::covering(rows, count, out);
            }
            node = self.nodes[node.children as usize + spot.child(depth)];
            depth += 1;
        }
        if node.block == 0 {
            return;
        }
        let (rows, count, held) = self.blocks.parts(node.block);
        Blocks::covering(rows, count, out);
        for (head, numbers) in pieces(held) {
            if probe.is_in(head.kind, numbers) {
                out.push(head.fence);
            }
        }
    }

    /// Bytes that it occupies, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.blocks.memory_bytes()
    }
}
