/*
 * Matrices stored in panels: [rows, columns] as [columns / P, rows, P], panel by panel of P
 * columns, which must divide the columns.
 */
#ifndef OCE_BASE_PANEL_H
#define OCE_BASE_PANEL_H

#include <stddef.h>

/* Where an element of a matrix [rows, columns] lies; panel: columns of a panel, 0: the matrix is
 * stored in rows. */
static inline size_t oce_panel_place(size_t row, size_t column, size_t rows, size_t columns,
                                     size_t panel) {
    if (panel == 0)
        return row * columns + column;
    return (column / panel * rows + row) * panel + column % panel;
}

#endif
