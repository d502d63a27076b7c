// x·wᵀ by warpgroups, with what linear.cu says follows it.
#pragma once

#include "linear/linear.cu"

template <class K, class F>
DEVICE void product(const typename K::Part& part, const MappedBlock<K>& block, F f) {
    using Tile = WarpgroupTile<WARPGROUP_COLUMNS<K::y_width>>;
    static_assert(Tile::shared == K::shared && Tile::threads == K::threads, "kernels/src/cuda/product.rs");
    static_assert(K::y_width % 4 == 0, "fours of a row are whole");
    long long rows = part.y.rows();
    int tiles = over((int)rows, Tile::rows) * over(K::y_width, Tile::columns);
    if (thread_index() == 0) {
        prefetch_map(block.maps.x);
        prefetch_map(block.maps.w);
    }
    Tile::run(
        block.block, block.blocks, tiles, over(K::x_width, Tile::depth),
        [&](int tile) { return TilePlace(tile, rows, K::y_width, Tile::rows, Tile::columns); },
        [&](unsigned char* left, unsigned char* right, Mbarrier* barrier, const TilePlace& at, int step) {
            copy_box(left, block.maps.x, barrier, step * Tile::depth, (int)at.row);
            copy_box(right, block.maps.w, barrier, step * Tile::depth, at.column);
        },
        [&](float (&values)[4], const TilePlace& at, int down, int across) {
            // For fours outside of the result what belongs to its last ones is read: without branches, reads of many
            // fours are under way together.
            long long row = at.row + down < rows ? at.row + down : rows - 1;
            f(values, row, at_most(at.column + across, K::y_width - 4), Whole());
        },
        [&](const float (&values)[4], const TilePlace& at, int down, int across) {
            long long row = at.row + down;
            int column = at.column + across;
            if (row < rows && column < K::y_width) {
                store(part.y.row(row) + column, values, Whole());
            }
        });
}
