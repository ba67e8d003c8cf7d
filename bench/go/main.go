// The same operations with Go's own context, for the suites of core costs.
//
// It reads lines "CASE BATCHES" and answers each with a line of nanoseconds per operation, one number for each batch;
// and "prove CASE", which it answers with what it has seen.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const batchTime = 500 * time.Microsecond

type key int

// sink takes the last value of a loop, as in the loops of JavaScript.
var sink any

func under() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

// deep is a context with n bindings above it, of which the outermost is looked up.
func deep(n int) context.Context {
	parent, _ := under()
	ctx := context.WithValue(parent, key(0), "found")
	for i := 1; i < n; i++ {
		ctx = context.WithValue(ctx, key(i), i)
	}
	return ctx
}

func lookUp(depth int) func(n int) {
	ctx := deep(depth)
	return func(n int) {
		found := 0
		for i := 0; i < n; i++ {
			if ctx.Value(key(0)) == "found" {
				found++
			}
		}
		sink = found
	}
}

func cases() map[string]func(n int) {
	parent, _ := under()
	child, stopChild := context.WithCancel(parent)
	timed, stopTimed := context.WithTimeout(child, time.Hour)
	runtime.KeepAlive(stopChild)
	runtime.KeepAlive(stopTimed)
	return map[string]func(n int){
		"cancel": func(n int) {
			for i := 0; i < n; i++ {
				_, cancel := context.WithCancel(parent)
				cancel()
			}
		},
		"timeout": func(n int) {
			for i := 0; i < n; i++ {
				_, cancel := context.WithTimeout(parent, time.Minute)
				cancel()
			}
		},
		"value": func(n int) {
			ctx := parent
			for i := 0; i < n; i++ {
				ctx = context.WithValue(parent, key(1), "v")
			}
			sink = ctx
		},
		"err": func(n int) {
			for i := 0; i < n; i++ {
				if child.Err() != nil {
					panic("ended")
				}
			}
		},
		"err-deadline": func(n int) {
			for i := 0; i < n; i++ {
				if timed.Err() != nil {
					panic("ended")
				}
			}
		},
		"lookup-1":   lookUp(1),
		"lookup-10":  lookUp(10),
		"lookup-100": lookUp(100),
	}
}

// endChildren is what it takes to end so many children by their parent's cancel, and to ask each for its error where look is set.
func endChildren(children int, look bool) float64 {
	parent, cancel := under()
	all := make([]context.Context, children)
	for i := range all {
		ctx, stop := context.WithCancel(parent)
		defer stop()
		all[i] = ctx
	}
	start := time.Now()
	cancel()
	if look {
		for _, ctx := range all {
			if ctx.Err() == nil {
				panic("not ended")
			}
		}
	}
	return float64(time.Since(start).Nanoseconds())
}

func must(condition bool, what string) {
	if !condition {
		fmt.Fprintln(os.Stderr, "It was not so that "+what+".")
		os.Exit(1)
	}
}

// prove shows that what is measured does what it should, and says what was seen.
func prove(name string) string {
	parent, _ := under()
	switch {
	case name == "cancel" || name == "timeout":
		ctx, cancel := context.WithCancel(parent)
		if name == "timeout" {
			ctx, cancel = context.WithTimeout(parent, time.Minute)
		}
		must(ctx.Err() == nil, "the context was live")
		cancel()
		must(ctx.Err() == context.Canceled, "the context was cancelled")
		return "ended as context canceled"
	case name == "value":
		must(context.WithValue(parent, key(1), "v").Value(key(1)) == "v", "the value was found")
		return "the value was found"
	case strings.HasPrefix(name, "lookup-"):
		depth, err := strconv.Atoi(strings.TrimPrefix(name, "lookup-"))
		must(err == nil && deep(depth).Value(key(0)) == "found", "the value was found")
		return "the value was found"
	case name == "err" || name == "err-deadline":
		ctx, cancel := context.WithCancel(parent)
		if name == "err-deadline" {
			ctx, cancel = context.WithTimeout(ctx, time.Hour)
		}
		turns := 0
		for ctx.Err() == nil {
			if turns++; turns == 1000 {
				cancel()
			}
		}
		must(turns == 1000, "the loop saw the cancel at once")
		return "the loop saw the cancel at once"
	default:
		endChildren(1000, true)
		return "all 1,000 children had ended when cancel() returned; it panics where one had not"
	}
}

func run(name string, loop func(n int), batches int) []float64 {
	n := 1
	time1 := func() time.Duration {
		start := time.Now()
		loop(n)
		return time.Since(start)
	}
	for {
		took := time1()
		if took >= batchTime {
			break
		}
		grow := 1.2 * float64(batchTime) / float64(took+1)
		if grow > 10 {
			grow = 10
		}
		n = int(float64(n)*grow) + 1
	}
	found := make([]float64, batches)
	for i := range found {
		found[i] = float64(time1().Nanoseconds()) / float64(n)
	}
	return found
}

// mustMake shows that the compiler has left out nothing: each turn of the loop makes a context on the heap.
func mustMake(loop func(n int)) {
	const turns = 1000
	made := testing.AllocsPerRun(10, func() { loop(turns) })
	must(made >= turns, fmt.Sprintf("%d contexts were made: %.0f objects were", turns, made))
}

func main() {
	known := cases()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		name, count, _ := strings.Cut(in.Text(), " ")
		if name == "prove" {
			if count == "cancel" || count == "timeout" || count == "value" {
				mustMake(known[count])
			}
			fmt.Println(prove(count))
			continue
		}
		batches, err := strconv.Atoi(count)
		if err != nil {
			fmt.Fprintln(os.Stderr, "expected: CASE BATCHES")
			os.Exit(2)
		}
		var found []float64
		switch loop, ok := known[name]; {
		case ok:
			found = run(name, loop, batches)
		case name == "children" || name == "children-look":
			for i := 0; i < batches; i++ {
				found = append(found, endChildren(1000, name == "children-look"))
			}
		default:
			fmt.Fprintln(os.Stderr, "no such case:", name)
			os.Exit(2)
		}
		text := make([]string, len(found))
		for i, x := range found {
			text[i] = strconv.FormatFloat(x, 'f', 3, 64)
		}
		fmt.Println(strings.Join(text, " "))
	}
}
