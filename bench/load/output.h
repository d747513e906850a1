/* What kvstore-bench prints: the result as a table or as JSON, a CSV row per interval, and a line
 * of progress at a terminal. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include "bench/load/options.h"

void output_table(FILE *file, const struct options *options, const struct driver_result *result);
/* `generator_seconds`: processor time of the generator itself. */
void output_json(FILE *file, const struct options *options, const struct driver_result *result,
                 double generator_seconds);

void output_csv_head(FILE *file);
void output_csv_row(FILE *file, double from, double to, const struct driver_counts *counts);
void output_progress(FILE *file, double from, double to, const struct driver_counts *counts);

#endif
