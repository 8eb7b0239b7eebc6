//go:build !nocloud

package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nearline/features"
)

// Job numbers a job of a view. The last number stands beside the view's keys, in the item VIEW@job. It is read, and the next is put if nobody else has done so
// since: that wants no permission beyond those of entries.
func (s *Store) Job(ctx context.Context, view string) (int64, error) {
	k := view + "@job"
	for try := 0; ; try++ {
		number, err := s.job(ctx, k)
		refused := (*types.ConditionalCheckFailedException)(nil)
		if errors.As(err, &refused) && pause(ctx, try) == nil {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("ask %s for the number of a job of view %s: item %s: %w", s.where, view, k, s.explained(err))
		}
		return number, nil
	}
}

func (s *Store) job(ctx context.Context, k string) (int64, error) {
	found, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.config.Table, Key: item{keyAttribute: text(k)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return 0, err
	}
	before, _ := wholeNumber(found.Item[jobAttribute])
	number, err := features.JobNumber(before, time.Now())
	if err != nil {
		return 0, err
	}
	put := &dynamodb.PutItemInput{
		TableName: &s.config.Table, Item: item{keyAttribute: text(k), jobAttribute: number64(number)},
		ConditionExpression: aws.String("attribute_not_exists(#job)"), ExpressionAttributeNames: map[string]string{"#job": jobAttribute},
	}
	if have, ok := found.Item[jobAttribute]; ok {
		put.ConditionExpression, put.ExpressionAttributeValues = aws.String("#job = :before"), item{":before": have}
	}
	_, err = s.client.PutItem(ctx, put)
	return number, err
}

func number64(n int64) types.AttributeValue { return number(strconv.FormatInt(n, 10)) }
