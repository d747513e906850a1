/*
 * The failing disk of a case: sdk/fault/ as seen from the program that it is loaded into. All
 * functions but the first need it to be there.
 *
 * Threads: the case's own.
 */
#ifndef SDK_CHECK_FAULTS_H
#define SDK_CHECK_FAULTS_H

#include "sdk/fault/fault.h"

#include <stdbool.h>

bool faults_available(void);
/* Calls below `directory`, which must exist, are looked at from now on. */
void faults_watch(const char *directory);
/* The calls of `kinds` from the `first`-th on meet the action; replaces an earlier rule. */
void faults_arm(uint32_t kinds, enum fault_action action, int error, uint64_t first);
/* Ends the rule; its hits can be read until the next one. */
void faults_heal(void);
uint64_t faults_hits(void);
/* All calls of one kind so far. */
uint64_t faults_count(uint32_t kind);

#endif
