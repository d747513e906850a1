/*
 * The failing disk of a case: sdk/fault/ as the program that it is loaded into sees it. Only the
 * first function may be called without it.
 *
 * Threads: the case's own.
 */
#ifndef SDK_CHECK_FAULTS_H
#define SDK_CHECK_FAULTS_H

#include "sdk/fault/fault.h"

#include <stdbool.h>
#include <stddef.h>

bool faults_available(void);
/* From now on, calls on files below `directory`, which must exist, count. */
void faults_watch(const char *directory);
/* The calls of `kinds` from the `first`-th on meet the action; replaces an earlier rule. */
void faults_arm(uint32_t kinds, enum fault_action action, int error, uint64_t first);
/* Between these two, a rule for FAULT_SYNC holds. Files made meanwhile of which every sync failed
 * lose their content, as in a power cut. Returns their number. */
void faults_before_power_cut(void);
size_t faults_power_cut(void);
/* Ends the rule; its hits can be read until the next one. */
void faults_heal(void);
uint64_t faults_hits(void);
/* All calls of one kind so far. */
uint64_t faults_count(uint32_t kind);

#endif
