/*
 * The line of a processor's cache. Only speed depends on the figure.
 */
#ifndef KV_CACHE_LINE_H
#define KV_CACHE_LINE_H

/* Bytes, of the processors at hand. */
#define KV_CACHE_LINE 64u

#endif
