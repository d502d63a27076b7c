// x·wᵀ by warpgroups, with what linear.cu says follows it.
#pragma once

#include "linear/linear.cu"

template <class K, class F>
DEVICE void product(const typename K::Part& part, const MappedBlock<K>& block, F f) {
    using Tile = WarpgroupTile<WARPGROUP_COLUMNS<K::y_width>>;
    static_assert(Tile::shared == K::shared && Tile::threads == K::threads, "kernels/src/cuda/product.rs");
    auto place = [&](int tile) { return TilePlace(tile, part.y.rows(), K::y_width, Tile::rows, Tile::columns); };
    int tiles = over((int)part.y.rows(), Tile::rows) * over(K::y_width, Tile::columns);
    if (thread_index() == 0) {
        prefetch_map(block.maps.x);
        prefetch_map(block.maps.w);
    }
    Tile::run(
        block.block, block.blocks, tiles, over(K::x_width, Tile::depth),
        [&](unsigned char* left, unsigned char* right, Mbarrier* barrier, int tile, int step) {
            TilePlace at = place(tile);
            copy_box(left, block.maps.x, barrier, step * Tile::depth, (int)at.row);
            copy_box(right, block.maps.w, barrier, step * Tile::depth, at.column);
        },
        [&](float (&values)[4], int tile, int down, int across) {
            TilePlace at = place(tile);
            long long row = at.row + down;
            int column = at.column + across;
            if (row < part.y.rows() && column < K::y_width) {
                int count = at_most(4, K::y_width - column);
                f(values, row, column, count);
                store(part.y.row(row) + column, values, count);
            }
        });
}
