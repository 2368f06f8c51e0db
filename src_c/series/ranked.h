/* A set of ranks that knows one of its order statistics while members come and go.
 *
 * A bit for each rank, and a bit for each of their words that is not empty: the member after a rank
 * or before it is found in few steps, however far it is. `place` is where the order statistic was
 * sought last, and `below` counts the members below it, so that a member that comes or goes moves
 * it by one member at most. (Huang, Yang and Tang 1979 keep a histogram and a count in this way.
 * Here each sample has a rank of its own, so that no level of the histogram holds more than one.)
 */
#ifndef MPIM_SERIES_RANKED_H
#define MPIM_SERIES_RANKED_H

#include "common/internal.h"

enum { WORD = 64, NO_RANK = 0xFFFFFFFFu };

struct ranked {
    uint64_t *bits, *words;
    uint32_t place, below;
};

/* Words that a set of n ranks takes, in both arrays together. */
static inline size_t ranked_words(size_t n)
{
    const size_t bits = n / WORD + 1;
    return bits + bits / WORD + 1;
}

/* An empty set of n ranks in `memory`. */
static inline struct ranked ranked_empty(size_t n, uint64_t *memory)
{
    memset(memory, 0, ranked_words(n) * sizeof *memory);
    return (struct ranked){memory, memory + n / WORD + 1, 0, 0};
}

static ALWAYS_INLINE void ranked_enter(struct ranked *set, uint32_t rank)
{
    const uint32_t word = rank / WORD;
    set->bits[word] |= (uint64_t)1 << rank % WORD;
    set->words[word / WORD] |= (uint64_t)1 << word % WORD;
    set->below += rank < set->place;
}

static ALWAYS_INLINE void ranked_leave(struct ranked *set, uint32_t rank)
{
    const uint32_t word = rank / WORD;
    const uint64_t left = set->bits[word] & ~((uint64_t)1 << rank % WORD);
    set->bits[word] = left;
    set->words[word / WORD] &= ~((uint64_t)(left == 0) << word % WORD);
    set->below -= rank < set->place;
}

/* The least member >= rank. There is one. */
static ALWAYS_INLINE uint32_t ranked_from(const struct ranked *set, uint32_t rank)
{
    uint32_t word = rank / WORD;
    uint64_t found = set->bits[word] & ~(uint64_t)0 << rank % WORD;
    if (!found) {
        uint32_t group = ++word / WORD;
        uint64_t among = set->words[group] & ~(uint64_t)0 << word % WORD;
        while (!among)
            among = set->words[++group];
        word = group * WORD + (uint32_t)__builtin_ctzll(among);
        found = set->bits[word];
    }
    return word * WORD + (uint32_t)__builtin_ctzll(found);
}

/* The greatest member < rank. There is one. */
static ALWAYS_INLINE uint32_t ranked_before(const struct ranked *set, uint32_t rank)
{
    uint32_t word = rank / WORD;
    uint64_t found = set->bits[word] & (((uint64_t)1 << rank % WORD) - 1);
    if (!found) {
        uint32_t group = word / WORD;
        uint64_t among = set->words[group] & (((uint64_t)1 << word % WORD) - 1);
        while (!among)
            among = set->words[--group];
        word = group * WORD + WORD - 1 - (uint32_t)__builtin_clzll(among);
        found = set->bits[word];
    }
    return word * WORD + WORD - 1 - (uint32_t)__builtin_clzll(found);
}

/* The member with `below` members below it. There is one. */
static ALWAYS_INLINE uint32_t ranked_find(struct ranked *set, uint32_t below)
{
    while (set->below > below) {
        set->place = ranked_before(set, set->place);
        set->below--;
    }
    set->place = ranked_from(set, set->place);
    while (set->below < below) {
        set->place = ranked_from(set, set->place + 1);
        set->below++;
    }
    return set->place;
}

#endif
