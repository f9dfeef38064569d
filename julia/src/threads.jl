# Work for several threads. `Threads.@threads` wakes all threads of the process and waits for them, even for a loop of
# one pass, which takes longer than a few small windows do.

const WORTH_A_THREAD = 20_000       # numbers to compute: some ten microseconds

threads_for(tasks) = min(Threads.nthreads(), tasks)
threads_for(tasks, numbers) = clamp(numbers ÷ WORTH_A_THREAD, 1, threads_for(tasks))

"    in_threads(f, count): call f(1), …, f(count), each in a thread; in this one, if there is one"
function in_threads(f, count)
    if count == 1
        f(1)
    else
        Threads.@threads for k in 1:count
            f(k)
        end
    end
    return nothing
end
