cdef int current() noexcept nogil
