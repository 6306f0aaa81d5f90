package imagestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"
)

const (
	// prefixParam is what the names in a bucket begin with.
	prefixParam = "prefix"
	// endpointParam is the address of another service that speaks S3.
	endpointParam  = "endpoint"
	anonymousParam = "anonymous"
	// probeTimeout is how long a bucket may take at the start, the search for credentials included.
	probeTimeout = 15 * time.Second
)

// cloudParams are the URL parameters that have a meaning here, as the Go CDK documents them (gocloud.dev/blob,
// gocloud.dev/blob/s3blob and gocloud.dev/aws, gocloud.dev/blob/gcsblob). Those that only sign URLs have none.
var cloudParams = map[string][]string{
	s3blob.Scheme: {
		prefixParam, endpointParam, anonymousParam, "region", "profile", "role", "use_path_style", "s3ForcePathStyle", "disable_https",
		"hostname_immutable", "dualstack", "fips", "accelerate", "rate_limiter_capacity", "ssetype", "kmskeyid",
		"request_checksum_calculation", "response_checksum_validation",
	},
	gcsblob.Scheme: {prefixParam, anonymousParam},
}

// openCloud opens an s3:// or gs:// bucket with the credentials of the environment, and tries it.
func openCloud(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	if err := checkCloud(u); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %v", probeTimeout))
	defer cancel()
	bucket, err := dialCloud(within, u)
	if err != nil {
		return nil, &lineError{err}
	}
	if prefix := u.Query().Get(prefixParam); prefix != "" {
		bucket = blob.PrefixedBucket(bucket, prefix)
	}
	if err := probe(within, bucket); err != nil {
		if cause := context.Cause(within); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		_ = bucket.Close()
		return nil, &lineError{err}
	}
	return bucket, nil
}

// checkCloud finds what the SDKs would not, or would tell in a way that repeats credentials.
func checkCloud(u *url.URL) error {
	if u.User != nil {
		return fmt.Errorf("%s:// takes no user name and password: credentials are taken from the environment", u.Scheme)
	}
	if u.Host == "" || u.Port() != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" {
		return fmt.Errorf("%s:// is followed by the name of a bucket alone, as in %[1]s://pictures?prefix=gateway/", u.Scheme)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the URL's parameters cannot be read")
	}
	for name := range q {
		if !slices.Contains(cloudParams[u.Scheme], name) {
			return fmt.Errorf("%s:// takes no parameter %q", u.Scheme, name)
		}
	}
	if q.Has(endpointParam) {
		e, err := url.Parse(q.Get(endpointParam))
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil {
			return errors.New("the endpoint must be an http(s) URL without user name and password")
		}
	}
	return nil
}

func dialCloud(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	q := u.Query()
	if u.Scheme == s3blob.Scheme {
		q.Del(prefixParam) // blob's own mux would have taken it
		plain := *u
		plain.RawQuery = q.Encode()
		return new(s3blob.URLOpener).OpenBucketURL(ctx, &plain) //nolint:wrapcheck // it says what was attempted
	}
	// Not by gcsblob's own way to the credentials: it writes its warnings to the standard output.
	client := gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())
	if anonymous, err := strconv.ParseBool(q.Get(anonymousParam)); err != nil && q.Has(anonymousParam) {
		return nil, fmt.Errorf("%s must be true or false", anonymousParam)
	} else if !anonymous {
		if client, err = googleClient(ctx); err != nil {
			return nil, err
		}
	}
	return gcsblob.OpenBucket(ctx, client, u.Host, nil) //nolint:wrapcheck // openBucket says what was attempted
}

// googleClient finds the application default credentials.
func googleClient(ctx context.Context) (*gcp.HTTPClient, error) {
	// They keep the context, to renew themselves with.
	credentials, err := gcp.DefaultCredentials(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("find Google's default credentials: %w", err)
	}
	client, err := gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(credentials))
	if err != nil {
		return nil, fmt.Errorf("use Google's default credentials: %w", err)
	}
	return client, nil
}

// probe finds at the start what would fail at the first picture that was paid for.
func probe(ctx context.Context, b *blob.Bucket) error {
	name := "probe-" + strings.ToLower(rand.Text()) + ".tmp"
	if err := b.WriteAll(ctx, name, []byte("written at the start, to be deleted at once"), nil); err != nil {
		return fmt.Errorf("write to the bucket: %w", err)
	}
	if err := b.Delete(ctx, name); err != nil {
		return fmt.Errorf("delete from the bucket: %w", err)
	}
	return nil
}

// maxLine bounds what a service's answer adds to an error.
const maxLine = 500

// lineError is an error in one line: answers of services have many.
type lineError struct{ error }

func (e *lineError) Error() string {
	line := strings.Join(strings.Fields(e.error.Error()), " ")
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}

func (e *lineError) Unwrap() error { return e.error }
