package imagegen_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// spec returns the spec of "a cat" with nothing else asked for, after edit.
func spec(edit func(*imagegen.Spec)) imagegen.Spec {
	s := imagegen.Spec{
		Model: "Z-Image", Upstreams: []string{"exacg"}, ModelIndex: 5, Prompt: "a cat",
		Width: 2048, Height: 2048, Steps: 8, CFG: 7.0, Quality: "auto", Seeds: []uint32{100},
	}
	edit(&s)
	return s
}

// sized returns the spec of "a cat" in another size.
func sized(width, height int) imagegen.Spec {
	return spec(func(s *imagegen.Spec) { s.Width, s.Height = width, height })
}

// counter returns a random source that yields 100, 101, and so on.
func counter() func() uint32 {
	next := uint32(99)
	return func() uint32 { next++; return next }
}

func TestNewSpec(t *testing.T) {
	t.Parallel()
	type params = imagegen.Params
	tests := map[string]struct {
		params params
		want   imagegen.Spec
	}{
		"defaults":                           {params{Prompt: "a cat"}, sized(2048, 2048)},
		"prompt left as it is":               {params{Prompt: " a  cat\n"}, spec(func(s *imagegen.Spec) { s.Prompt = " a  cat\n" })},
		"ratio 1:1":                          {params{Prompt: "a cat 1:1"}, sized(2048, 2048)},
		"ratio 1:2":                          {params{Prompt: "a cat 1:2"}, sized(1024, 2048)},
		"ratio 3:2":                          {params{Prompt: "a cat 3:2"}, sized(1920, 1280)},
		"ratio 3:4":                          {params{Prompt: "a cat 3:4"}, sized(1536, 2048)},
		"ratio 16:9":                         {params{Prompt: "a cat 16:9"}, sized(2048, 1152)},
		"ratio 9:16":                         {params{Prompt: "a cat 9:16"}, sized(1152, 2048)},
		"ratio 2:1":                          {params{Prompt: "a cat 2:1"}, sized(2048, 1024)},
		"ratio 2:3":                          {params{Prompt: "a cat 2:3"}, sized(1280, 1920)},
		"ratio 4:3":                          {params{Prompt: "a cat 4:3"}, sized(2048, 1536)},
		"ratio 21:9":                         {params{Prompt: "a cat 21:9"}, sized(2016, 864)},
		"the last ratio wins":                {params{Prompt: "1:1 a cat 16:9"}, sized(2048, 1152)},
		"size":                               {params{Prompt: "a cat", Size: "1024x768"}, sized(1024, 768)},
		"size before the ratio, which goes":  {params{Prompt: "a cat 16:9", Size: "1024*768"}, sized(1024, 768)},
		"size auto":                          {params{Prompt: "a cat 16:9", Size: "AUTO"}, sized(2048, 1152)},
		"size rounded":                       {params{Prompt: "a cat", Size: "1023x68"}, sized(1024, 72)},
		"width and height":                   {params{Prompt: "a cat", Width: new(64), Height: new(2048)}, sized(64, 2048)},
		"width and height before all":        {params{Prompt: "a cat 16:9", Width: new(640), Height: new(480), Size: "1x1"}, sized(640, 480)},
		"width and height rounded, half up":  {params{Prompt: "a cat", Width: new(100), Height: new(99)}, sized(104, 96)},
		"the limits rounded":                 {params{Prompt: "a cat", Width: new(65), Height: new(2045)}, sized(64, 2048)},
		"quality low of the default":         {params{Prompt: "a cat", Quality: "low"}, quality("low", 1024, 1024)},
		"quality medium of a ratio":          {params{Prompt: "a cat 16:9", Quality: "medium"}, quality("medium", 1536, 864)},
		"quality low of 3:2, rounded":        {params{Prompt: "a cat 3:2", Quality: " Low "}, quality("low", 1024, 680)},
		"quality low of 21:9, rounded":       {params{Prompt: "a cat 21:9", Quality: "low"}, quality("low", 1024, 440)},
		"quality high":                       {params{Prompt: "a cat 3:2", Quality: "high"}, quality("high", 1920, 1280)},
		"quality hd":                         {params{Prompt: "a cat 3:2", Quality: "HD"}, quality("hd", 1920, 1280)},
		"quality standard":                   {params{Prompt: "a cat", Quality: "standard"}, quality("standard", 2048, 2048)},
		"quality auto":                       {params{Prompt: "a cat", Quality: "auto"}, quality("auto", 2048, 2048)},
		"quality and size":                   {params{Prompt: "a cat", Quality: "low", Size: "2048x1152"}, quality("low", 2048, 1152)},
		"quality and sides":                  {params{Prompt: "a cat", Quality: "low", Width: new(2048), Height: new(64)}, quality("low", 2048, 64)},
		"steps, least":                       {params{Prompt: "a cat", Steps: new(1)}, spec(func(s *imagegen.Spec) { s.Steps = 1 })},
		"steps, most":                        {params{Prompt: "a cat", Steps: new(50)}, spec(func(s *imagegen.Spec) { s.Steps = 50 })},
		"cfg":                                {params{Prompt: "a cat", CFG: new(3.5)}, spec(func(s *imagegen.Spec) { s.CFG = 3.5 })},
		"cfg off":                            {params{Prompt: "a cat", CFG: new(0.0)}, spec(func(s *imagegen.Spec) { s.CFG = 0 })},
		"negative prompt":                    {params{Prompt: "a cat", NegativePrompt: new("a dog 1:1")}, spec(func(s *imagegen.Spec) { s.NegativePrompt = new("a dog 1:1") })},
		"empty negative prompt":              {params{Prompt: "a cat", NegativePrompt: new("")}, sized(2048, 2048)},
		"three pictures, fresh seeds":        {params{Prompt: "a cat", N: new(3)}, seeded(100, 101, 102)},
		"seed -1 is none":                    {params{Prompt: "a cat", N: new(2), Seed: new(int64(-1))}, seeded(100, 101)},
		"seed":                               {params{Prompt: "a cat", Seed: new(int64(0))}, seeded(0)},
		"seed of several":                    {params{Prompt: "a cat", N: new(3), Seed: new(int64(7))}, seeded(7, 8, 9)},
		"seed of several, wrapping to 0":     {params{Prompt: "a cat", N: new(3), Seed: new(int64(math.MaxUint32 - 1))}, seeded(4294967294, 4294967295, 0)},
		"the most pictures, the highest one": {params{Prompt: "a cat", N: new(10), Seed: new(int64(math.MaxUint32))}, seeded(4294967295, 0, 1, 2, 3, 4, 5, 6, 7, 8)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := imagegen.DefaultModel().NewSpec(tt.params, counter())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("NewSpec() (-want +got):\n%s", diff)
			}
		})
	}
}

func quality(name string, width, height int) imagegen.Spec {
	return spec(func(s *imagegen.Spec) { s.Quality, s.Width, s.Height = name, width, height })
}

func seeded(seeds ...uint32) imagegen.Spec {
	return spec(func(s *imagegen.Spec) { s.Seeds = seeds })
}

func TestNewSpecRefuses(t *testing.T) {
	t.Parallel()
	type params = imagegen.Params
	const sizeMessage, promptMessage = "size must look like 1024x1024, each side 64 to 2048", "prompt is required: say what to draw"
	tests := map[string]struct {
		params  params
		kind    imagegen.Kind
		param   string
		message string
	}{
		"no prompt":          {params{}, imagegen.KindMissingParameter, "prompt", promptMessage},
		"blank prompt":       {params{Prompt: " \n　"}, imagegen.KindMissingParameter, "prompt", promptMessage},
		"nothing but ratios": {params{Prompt: "1:1, 16:9", Size: "64x64"}, imagegen.KindInvalidValue, "prompt", "prompt holds a ratio (16:9) and nothing else: say what to draw"},
		"prompt too long":    {params{Prompt: strings.Repeat("猫", 350_000)}, imagegen.KindInvalidValue, "prompt", "prompt must be at most 1048576 bytes long"},
		"negative too long":  {params{Prompt: "a cat", NegativePrompt: new(strings.Repeat("x", 1<<20+1))}, imagegen.KindInvalidValue, "negative_prompt", "negative_prompt must be at most 1048576 bytes long"},
		"height missing":     {params{Prompt: "a cat", Width: new(1)}, imagegen.KindMissingParameter, "height", "height is required where width is given: send both or neither"},
		"width missing":      {params{Prompt: "a cat", Height: new(64)}, imagegen.KindMissingParameter, "width", "width is required where height is given: send both or neither"},
		"width too small":    {params{Prompt: "a cat", Width: new(63), Height: new(64)}, imagegen.KindInvalidValue, "width", "width must be 64 to 2048"},
		"width too large":    {params{Prompt: "a cat", Width: new(2049), Height: new(64)}, imagegen.KindInvalidValue, "width", "width must be 64 to 2048"},
		"height too small":   {params{Prompt: "a cat", Width: new(64), Height: new(0)}, imagegen.KindInvalidValue, "height", "height must be 64 to 2048"},
		"height too large":   {params{Prompt: "a cat", Width: new(64), Height: new(math.MaxInt)}, imagegen.KindInvalidValue, "height", "height must be 64 to 2048"},
		"size of words":      {params{Prompt: "a cat 16:9", Size: "large"}, imagegen.KindInvalidValue, "size", sizeMessage},
		"size too small":     {params{Prompt: "a cat", Size: "63x64"}, imagegen.KindInvalidValue, "size", sizeMessage},
		"size too large":     {params{Prompt: "a cat", Size: "64x2049"}, imagegen.KindInvalidValue, "size", sizeMessage},
		"unknown quality":    {params{Prompt: "a cat", Quality: "ultra"}, imagegen.KindInvalidValue, "quality", "quality must be low, medium, high, standard, hd or auto"},
		"no picture":         {params{Prompt: "a cat", N: new(0)}, imagegen.KindInvalidValue, "n", "n must be 1 to 10"},
		"eleven pictures":    {params{Prompt: "a cat", N: new(11)}, imagegen.KindInvalidValue, "n", "n must be 1 to 10"},
		"no steps":           {params{Prompt: "a cat", Steps: new(0)}, imagegen.KindInvalidValue, "steps", "steps must be 1 to 50"},
		"too many steps":     {params{Prompt: "a cat", Steps: new(51)}, imagegen.KindInvalidValue, "steps", "steps must be 1 to 50"},
		"cfg not a number":   {params{Prompt: "a cat", CFG: new(math.NaN())}, imagegen.KindInvalidValue, "cfg", "cfg must be a number from 0 to 100"},
		"cfg infinite":       {params{Prompt: "a cat", CFG: new(math.Inf(1))}, imagegen.KindInvalidValue, "cfg", "cfg must be a number from 0 to 100"},
		"cfg negative":       {params{Prompt: "a cat", CFG: new(-0.1)}, imagegen.KindInvalidValue, "cfg", "cfg must be a number from 0 to 100"},
		"seed negative":      {params{Prompt: "a cat", Seed: new(int64(-2))}, imagegen.KindInvalidValue, "seed", "seed must be 0 to 4294967295, or -1 for a random one"},
		"seed too large":     {params{Prompt: "a cat", Seed: new(int64(math.MaxUint32 + 1))}, imagegen.KindInvalidValue, "seed", "seed must be 0 to 4294967295, or -1 for a random one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := imagegen.DefaultModel().NewSpec(tt.params, counter())
			want := &imagegen.Error{Kind: tt.kind, Param: tt.param, Message: tt.message}
			if diff := cmp.Diff(want, imagegen.AsError(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(imagegen.Spec{}, got); diff != "" {
				t.Errorf("a spec beside the error:\n%s", diff)
			}
		})
	}
}

func TestTierSteps(t *testing.T) {
	t.Parallel()
	m := model(func(m *imagegen.Model) { m.Qualities["high"] = imagegen.Quality{Steps: 20} })
	tests := map[string]struct {
		params imagegen.Params
		want   int
	}{
		"the tier's":                     {imagegen.Params{Quality: "hd"}, 20},
		"the tier's, size spelled out":   {imagegen.Params{Quality: "high", Size: "64x64"}, 20},
		"the client's before the tier's": {imagegen.Params{Quality: "high", Steps: new(4)}, 4},
		"a tier without steps":           {imagegen.Params{Quality: "low"}, 8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.params.Prompt = "a cat"
			got, err := m.NewSpec(tt.params, counter())
			if err != nil || got.Steps != tt.want {
				t.Errorf("steps %d, error %v; want %d", got.Steps, err, tt.want)
			}
		})
	}
}

func TestNegativePromptIsTheSpecsOwn(t *testing.T) {
	t.Parallel()
	text := "a dog"
	got, err := imagegen.DefaultModel().NewSpec(imagegen.Params{Prompt: "a cat", NegativePrompt: &text}, counter())
	if err != nil {
		t.Fatal(err)
	}
	text = "changed"
	if *got.NegativePrompt != "a dog" {
		t.Errorf("got %q after the caller's string changed", *got.NegativePrompt)
	}
}

func TestSeedsAreConsecutiveOrRandomInRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, imagegen.MaxPictures).Draw(t, "n")
		seed := rapid.Int64Range(-1, math.MaxUint32).Draw(t, "seed")
		var drawn []uint32
		random := func() uint32 {
			drawn = append(drawn, rapid.Uint32().Draw(t, "random"))
			return drawn[len(drawn)-1]
		}
		got, err := imagegen.DefaultModel().NewSpec(imagegen.Params{Prompt: "a cat", N: &n, Seed: &seed}, random)
		if err != nil {
			t.Fatal(err)
		}
		if got.N() != n {
			t.Fatalf("%d seeds for %d pictures", got.N(), n)
		}
		for i, s := range got.Seeds {
			switch {
			case seed == -1 && (s > 2147483646 || len(drawn) != n || drawn[i] <= 2147483646 && s != drawn[i]):
				t.Fatalf("random seed %d of %d, drawn %v", s, i, drawn)
			case seed >= 0 && (int64(s) != (seed+int64(i))%(1<<32) || len(drawn) != 0):
				t.Fatalf("seed %d of picture %d, asked for %d", s, i, seed)
			}
		}
	})
}

func BenchmarkNewSpec(b *testing.B) {
	m, random := imagegen.DefaultModel(), counter()
	for name, p := range map[string]imagegen.Params{
		"ratio": {Prompt: "一只可爱的小狗，1:2"},
		"size":  {Prompt: "a cat on a roof, oil on canvas", Size: "1024x1024", N: new(4)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.NewSpec(p, random); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
