cdef int current() noexcept
